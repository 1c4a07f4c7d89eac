// Uploads a file with tus-js-client: node tus_client.js ENDPOINT TOKEN FILE CHUNK_SIZE
// Prints what each request was answered, and at the end the id of the file that it became.

const fs = require('node:fs')
const tus = require('tus-js-client')

const [endpoint, token, path, chunkSize] = process.argv.slice(2)
let fileId = null

const upload = new tus.Upload(fs.createReadStream(path), {
  endpoint,
  uploadSize: fs.statSync(path).size,
  chunkSize: Number(chunkSize),
  retryDelays: Array(1500).fill(200),
  headers: { Authorization: `Bearer ${token}` },
  metadata: { filename: 'größe.bin', filetype: 'application/x-thing' },
  onAfterResponse: (request, response) => {
    console.log(request.getMethod(), response.getStatus())
    fileId = response.getHeader('Portico-File-Id') ?? fileId
  },
  onSuccess: () => console.log(fileId),
  onError: (error) => {
    console.log(error.message)
    process.exitCode = 1
  },
})

upload.start()
