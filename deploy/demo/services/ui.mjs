// The Disaster Claim Wizard's user interface: Node's standard library only. GET /wizard/{user}/claims/{id} asks the claims service.
// It was configured with an address to call (CLAIMS_ADDRESS) and passes on the correlation header it was given; it knows nothing of sidecars.
import http from 'node:http'

const [host, port] = (process.env.CLAIMS_ADDRESS ?? 'claims:8080').split(':')
const agent = new http.Agent({ keepAlive: true, maxSockets: 512 })

function ask(claim, trace) {
  return new Promise((resolve, reject) => {
    const headers = { host: 'claims' }
    if (trace) headers['x-trace'] = trace
    const call = http.get({ host, port, agent, path: `/claims/${claim}`, headers }, (reply) => {
      let text = ''
      reply.setEncoding('utf8').on('data', (piece) => (text += piece)).on('end', () => resolve({ status: reply.statusCode, text }))
    })
    call.on('error', reject)
  })
}

const server = http.createServer(async (request, reply) => {
  const match = /^\/wizard\/([\w-]+)\/claims\/([\w-]+)$/.exec(request.url)
  if (!match) return reply.writeHead(404).end('no such page\n')
  try {
    const claim = await ask(match[2], request.headers['x-trace'])
    reply.writeHead(claim.status === 200 ? 200 : 500, { 'content-type': 'text/html; charset=utf-8' })
    reply.end(claim.status === 200 ? `<h1>Claim ${match[2]}</h1>\n` : '<h1>Something went wrong</h1>\n')
  } catch (error) {
    reply.writeHead(502).end(`${error.message}\n`)
  }
})
server.keepAliveTimeout = 60_000
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => console.log(`listening on ${server.address().port}`))
process.on('SIGTERM', () => process.exit(0))
