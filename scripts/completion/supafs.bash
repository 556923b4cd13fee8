# SPDX-License-Identifier: Apache-2.0
# bash completion for supafs
_supafs() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W 'mount umount check status pending flush invalidate url serve --help --version' -- "$cur")
		return
	fi
	case $command:$prev in
	mount:-o | check:-o)
		local done=${cur%"${cur##*,}"} names
		names=$(supafs mount --help 2>/dev/null | sed -n '/^Options/,$s/^  \([a-z_]*=\{0,1\}\).*/\1/p')
		mapfile -t COMPREPLY < <(compgen -P "$done" -W "$names" -- "${cur##*,}")
		compopt -o nospace
		return
		;;
	mount:--env-file | check:--env-file)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	esac
	case $command in
	mount) mapfile -t COMPREPLY < <(compgen -W '-o -f --foreground --env-file --config --help' -- "$cur"; compgen -d -- "$cur") ;;
	check) mapfile -t COMPREPLY < <(compgen -W '-o --env-file --config --help' -- "$cur"; compgen -d -- "$cur") ;;
	status) mapfile -t COMPREPLY < <(compgen -W "--json --help $(findmnt -rno TARGET -t fuse.supafs 2>/dev/null)" -- "$cur") ;;
	pending) mapfile -t COMPREPLY < <(compgen -W "--json --retry --save-to --drop --help $(findmnt -rno TARGET -t fuse.supafs 2>/dev/null)" -- "$cur"; compgen -d -- "$cur") ;;
	flush | invalidate) mapfile -t COMPREPLY < <(compgen -W "--help $(findmnt -rno TARGET -t fuse.supafs 2>/dev/null)" -- "$cur") ;;
	url) mapfile -t COMPREPLY < <(compgen -W '--signed --help' -- "$cur"; compgen -f -- "$cur") ;;
	umount) mapfile -t COMPREPLY < <(compgen -W "--lazy --config --help $(findmnt -rno TARGET -t fuse.supafs 2>/dev/null)" -- "$cur") ;;
	serve) mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
	esac
}
complete -o filenames -F _supafs supafs
