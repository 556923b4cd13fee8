// SPDX-License-Identifier: Apache-2.0
// The official JavaScript client and tus-js-client against the server at $BASE, in bucket $BUCKET.
// Started by test_client_js.py; prints TAP.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import fs from 'node:fs/promises'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'

import { ByClient, ByPath, exercise } from './app_helpers.mjs'

const { BASE, KEY, BUCKET, CLIENTS } = process.env
const require = createRequire(path.join(CLIENTS, 'package.json'))
const { StorageClient } = require('@supabase/storage-js')
const tus = require('tus-js-client')

const storage = new StorageClient(BASE, { authorization: `Bearer ${KEY}`, apikey: KEY })
const files = storage.from(BUCKET)

function good({ data, error }) {
  if (error) throw error
  return data
}

async function text(key) {
  return await good(await files.download(key)).text()
}

const cases = {
  async buckets() {
    const name = `${BUCKET}-js`
    good(await storage.createBucket(name, { public: true, fileSizeLimit: 1000 }))
    try {
      assert.equal(good(await storage.getBucket(name)).file_size_limit, 1000)
      assert.ok(good(await storage.listBuckets()).some((b) => b.id === name))
      good(await storage.from(name).upload('open', 'to all'))
      const { publicUrl } = storage.from(name).getPublicUrl('open').data
      assert.equal(await (await fetch(publicUrl)).text(), 'to all')
      good(await storage.from(name).remove(['open']))
      good(await storage.updateBucket(name, { public: false }))
      assert.equal(good(await storage.getBucket(name)).public, false)
      assert.ok((await storage.from(name).upload('big', Buffer.alloc(1001))).error)
      good(await storage.from(name).upload('small', Buffer.alloc(10)))
      assert.ok((await storage.deleteBucket(name)).error, 'a bucket that is not empty was deleted')
      good(await storage.from(name).remove(['small']))
    } finally {
      good(await storage.deleteBucket(name))
    }
  },

  async 'upload and download'() {
    good(await files.upload('a/one.txt', 'one', { contentType: 'text/plain', cacheControl: '60' }))
    assert.equal(await text('a/one.txt'), 'one')
    const again = await files.upload('a/one.txt', 'two')
    assert.equal(String(again.error.statusCode), '409')
    good(await files.upload('a/one.txt', 'two', { upsert: true, metadata: { mtime: '1700000000.5' } }))
    const info = good(await files.info('a/one.txt'))
    assert.equal(info.size, 3)
    assert.deepEqual(info.metadata, { mtime: '1700000000.5' })
    good(await files.update('a/one.txt', 'three'))
    assert.equal(await text('a/one.txt'), 'three')
    assert.equal(good(await files.exists('a/one.txt')), true)
    assert.equal((await files.exists('a/none')).data, false)
  },

  async listing() {
    for (const key of ['list/b.txt', 'list/a.json', 'list/sub/c.txt']) good(await files.upload(key, 'x'))
    assert.deepEqual(
      good(await files.list('list')).map((e) => e.name),
      ['a.json', 'b.txt', 'sub'],
    )
    const page = good(await files.listV2({ prefix: 'list/', with_delimiter: true }))
    assert.deepEqual(page.objects.map((o) => o.name), ['list/a.json', 'list/b.txt'])
    assert.deepEqual(page.folders.map((f) => f.name), ['list/sub/'])
  },

  async 'move, copy, remove'() {
    good(await files.upload('mv/from', 'content'))
    good(await files.move('mv/from', 'mv/to'))
    assert.ok((await files.download('mv/from')).error)
    good(await files.copy('mv/to', 'mv/copy'))
    assert.equal(await text('mv/copy'), 'content')
    const gone = good(await files.remove(['mv/to', 'mv/copy', 'mv/never']))
    assert.deepEqual(gone.map((o) => o.name).sort(), ['mv/copy', 'mv/to'])
  },

  async 'signed and public URLs'() {
    good(await files.upload('sign/it', 'signed'))
    const { signedUrl } = good(await files.createSignedUrl('sign/it', 60))
    assert.equal(await (await fetch(signedUrl)).text(), 'signed')
    const many = good(await files.createSignedUrls(['sign/it', 'sign/none'], 60))
    assert.ok(many[0].signedUrl && many[1].error)
    const { token } = good(await files.createSignedUploadUrl('sign/up'))
    good(await files.uploadToSignedUrl('sign/up', token, 'by url'))
    assert.equal(await text('sign/up'), 'by url')
    const { data } = files.getPublicUrl('sign/it')
    assert.equal((await fetch(data.publicUrl)).ok, false, 'a private object was served in public')
  },

  async 'resumable upload'() {
    const body = randomBytes(13 * 1024 * 1024 + 17)
    await new Promise((resolve, reject) => {
      let resumed = false
      const upload = new tus.Upload(body, {
        endpoint: `${BASE}/upload/resumable`,
        headers: { authorization: `Bearer ${KEY}`, 'x-upsert': 'true' },
        chunkSize: 6 * 1024 * 1024,
        uploadSize: body.length,
        metadata: { bucketName: BUCKET, objectName: 'tus/js.bin', contentType: 'application/x-test' },
        onError: reject,
        onSuccess: resolve,
        onUploadUrlAvailable() {
          upload.url = `${BASE}/upload/resumable/${upload.url.split('/').pop()}`
        },
        onChunkComplete() {
          if (resumed) return
          resumed = true
          upload.abort().then(() => upload.start(), reject)
        },
      })
      upload.start()
    })
    const back = Buffer.from(await good(await files.download('tus/js.bin')).arrayBuffer())
    assert.ok(back.equals(body), 'the bytes differ')
  },

  async 'application helpers, as by a path'() {
    const root = await fs.mkdtemp(path.join(os.tmpdir(), 'supafs-helpers-'))
    try {
      const byPath = await exercise(new ByPath(root), 'u1')
      assert.deepEqual(await exercise(new ByClient(storage, BUCKET), 'u1'), byPath)
      assert.deepEqual(byPath.texts, ['u1/c7/notes.txt', 'u1/c7/sub/more.txt'])
      assert.ok(byPath.there && !byPath.absent && byPath.gone)
    } finally {
      await fs.rm(root, { recursive: true })
    }
  },
}

let number = 0
let failed = 0
for (const [name, run] of Object.entries(cases)) {
  number++
  try {
    await run()
    console.log(`ok ${number} - storage-js: ${name}`)
  } catch (error) {
    failed++
    console.log(`# ${String(error.stack).replaceAll('\n', '\n# ')}`)
    console.log(`not ok ${number} - storage-js: ${name}`)
  }
}
console.log(`1..${number}`)
process.exitCode = failed ? 1 : 0
