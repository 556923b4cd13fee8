/* SPDX-License-Identifier: Apache-2.0 */
/* supafs: Supabase Storage as a folder. Everything is in src/app/. */
#include "app/commands.h"

int main(int argc, char **argv)
{
	return supafs_main(argc, argv);
}
