// SPDX-License-Identifier: Apache-2.0
// An application's storage helpers, twice: through the official client and through a path (the Python ones are in
// app_helpers.py). Both classes have the same methods, so that a test can do one thing by either side and compare.
//
// As a program: app_helpers.mjs client|path METHOD [ARGUMENT as JSON]…  prints the result as JSON. The client's side
// takes BASE, KEY, BUCKET and CLIENTS (folder of install_clients.sh) from the environment, the path's side ROOT.
import fs from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const PLACEHOLDER = '.emptyFolderPlaceholder'

function good({ data, error }) {
  if (error) throw error
  return data
}

export class ByClient {
  constructor(storage, bucket) {
    this.files = storage.from(bucket)
  }

  async #write(key, body, contentType) {
    good(await this.files.upload(key, body, { contentType, upsert: true }))
  }

  async writeJson(key, value) {
    await this.#write(key, JSON.stringify(value), 'application/json')
  }

  async readJson(key) {
    return JSON.parse(await this.readText(key))
  }

  async writeText(key, text) {
    await this.#write(key, text, 'text/plain')
  }

  async readText(key) {
    return await good(await this.files.download(key)).text()
  }

  async writeBytes(key, data) {
    await this.#write(key, data, 'application/octet-stream')
  }

  async readBytes(key) {
    return Buffer.from(await good(await this.files.download(key)).arrayBuffer())
  }

  async #walk(folder) {
    const found = []
    for (const entry of good(await this.files.list(folder, { limit: 1000 }))) {
      const key = `${folder}/${entry.name}`
      if (entry.id === null) found.push(...(await this.#walk(key)))
      else if (entry.name !== PLACEHOLDER) found.push(key)
    }
    return found
  }

  async listByExtension(folder, extension) {
    return (await this.#walk(folder)).filter((key) => key.endsWith(extension)).sort()
  }

  async exists(key) {
    const name = path.posix.basename(key)
    const entries = good(await this.files.list(path.posix.dirname(key), { search: name }))
    return entries.some((entry) => entry.name === name)
  }

  async deleteFolder(folder) {
    good(await this.files.remove([...(await this.#walk(folder)), `${folder}/${PLACEHOLDER}`]))
  }
}

export class ByPath {
  constructor(root) {
    this.root = root
  }

  async #write(key, data) {
    const file = path.join(this.root, key)
    await fs.mkdir(path.dirname(file), { recursive: true })
    await fs.writeFile(file, data)
  }

  async writeJson(key, value) {
    await this.#write(key, JSON.stringify(value))
  }

  async readJson(key) {
    return JSON.parse(await this.readText(key))
  }

  async writeText(key, text) {
    await this.#write(key, text)
  }

  async readText(key) {
    return await fs.readFile(path.join(this.root, key), 'utf8')
  }

  async writeBytes(key, data) {
    await this.#write(key, data)
  }

  async readBytes(key) {
    return await fs.readFile(path.join(this.root, key))
  }

  async #walk(folder) {
    const found = []
    for (const entry of await fs.readdir(path.join(this.root, folder), { withFileTypes: true })) {
      const key = `${folder}/${entry.name}`
      if (entry.isDirectory()) found.push(...(await this.#walk(key)))
      else found.push(key)
    }
    return found
  }

  async listByExtension(folder, extension) {
    return (await this.#walk(folder)).filter((key) => key.endsWith(extension)).sort()
  }

  async exists(key) {
    return await fs.access(path.join(this.root, key)).then(
      () => true,
      () => false,
    )
  }

  async deleteFolder(folder) {
    await fs.rm(path.join(this.root, folder), { recursive: true })
  }
}

/** The same work by one side; returns all that it saw. Leaves nothing behind. */
export async function exercise(side, folder) {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
  await side.writeJson(`${folder}/c7/slides.json`, { title: 'Größe', n: [1, 2] })
  await side.writeText(`${folder}/c7/notes.txt`, 'text\n')
  await side.writeBytes(`${folder}/c7/sub/x.bin`, bytes)
  await side.writeText(`${folder}/c7/sub/more.txt`, 'first')
  await side.writeText(`${folder}/c7/sub/more.txt`, 'more')
  const seen = {
    json: await side.readJson(`${folder}/c7/slides.json`),
    text: await side.readText(`${folder}/c7/notes.txt`),
    bytes: (await side.readBytes(`${folder}/c7/sub/x.bin`)).toString('hex'),
    replaced: await side.readText(`${folder}/c7/sub/more.txt`),
    texts: await side.listByExtension(folder, '.txt'),
    there: await side.exists(`${folder}/c7/notes.txt`),
    absent: await side.exists(`${folder}/c7/none.txt`),
  }
  await side.deleteFolder(`${folder}/c7`)
  seen.gone = !(await side.exists(`${folder}/c7/notes.txt`))
  return seen
}

async function main([kind, method, ...args]) {
  const { BASE, KEY, BUCKET, CLIENTS, ROOT } = process.env
  let side
  if (kind === 'path') {
    side = new ByPath(ROOT)
  } else {
    const require = createRequire(path.join(CLIENTS, 'package.json'))
    const { StorageClient } = require('@supabase/storage-js')
    side = new ByClient(new StorageClient(BASE, { authorization: `Bearer ${KEY}`, apikey: KEY }), BUCKET)
  }
  const values = args.map((text) => JSON.parse(text))
  const result = method === 'exercise' ? await exercise(side, ...values) : await side[method](...values)
  console.log(JSON.stringify(Buffer.isBuffer(result) ? result.toString('base64') : (result ?? null)))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2))
