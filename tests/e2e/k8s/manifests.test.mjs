// Renders deploy/k8s with kubectl kustomize and holds the result against the Kubernetes schemas: kubernetes-models checks types, required fields and
// enumerations; kubernetes-types with tsc finds fields that do not exist (which the JSON schemas let pass). Then what this product promises of its pods.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parseAllDocuments } from 'yaml'

const here = path.dirname(fileURLToPath(import.meta.url))
const require = createRequire(import.meta.url)
const rendered = execFileSync('kubectl', ['kustomize', path.join(here, '../../../deploy/k8s')], { encoding: 'utf8' })
const objects = parseAllDocuments(rendered).map((document) => document.toJSON())
const podTemplates = objects.filter((o) => o.spec?.template?.spec).map((o) => ({ name: `${o.kind} ${o.metadata.name}`, spec: o.spec.template.spec }))

function modelOf({ apiVersion, kind }) {
  const module = require(`kubernetes-models/${apiVersion}/${kind}`)
  return module[kind]
}

/** "apps/v1" -> "apps/v1", "v1" -> "core/v1", "networking.k8s.io/v1" -> "networking/v1": the folders of kubernetes-types. */
function typesModule(apiVersion) {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['core', apiVersion]
  return `kubernetes-types/${group.split('.')[0]}/${version}`
}

/** Problems that tsc finds in objects written as literals of their Kubernetes types. */
function typeProblems(values) {
  const folder = mkdtempSync(path.join(here, '.types-'))
  try {
    const source = values
      .map((o, i) => `import type { ${o.kind} as T${i} } from '${typesModule(o.apiVersion)}'\nexport const o${i}: T${i} = ${JSON.stringify(o, null, 1)}\n`)
      .join('\n')
    writeFileSync(path.join(folder, 'objects.ts'), source)
    const tsc = require.resolve('typescript/bin/tsc')
    execFileSync(process.execPath, [tsc, '--noEmit', '--strict', '--moduleResolution', 'node', '--skipLibCheck', path.join(folder, 'objects.ts')], { encoding: 'utf8' })
    return ''
  } catch (error) {
    return error.stdout ?? String(error)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('everything rendered is a valid object of its kind', () => {
  assert.ok(objects.length >= 9, `only ${objects.length} objects were rendered`)
  for (const object of objects) {
    const Model = modelOf(object)
    assert.doesNotThrow(() => new Model(object).validate(), `${object.kind} ${object.metadata.name}`)
  }
})

test('no field is unknown to Kubernetes', () => {
  assert.equal(typeProblems(objects), '')
})

test('the checks see a wrong field and a wrong type', () => {
  const set = structuredClone(objects.find((o) => o.kind === 'StatefulSet'))
  set.spec.template.spec.containers[0].imagee = 'x'
  assert.match(typeProblems([set]), /imagee/)
  set.spec.replicas = 'one'
  const Model = modelOf(set)
  assert.throws(() => new Model(set).validate())
})

test('every container runs without root, with a read-only root and no rights', () => {
  for (const { name, spec } of podTemplates) {
    assert.equal(spec.securityContext.runAsNonRoot, true, name)
    assert.equal(spec.securityContext.seccompProfile.type, 'RuntimeDefault', name)
    assert.equal(spec.automountServiceAccountToken, false, name)
    for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
      const where = `${name}, container ${container.name}`
      assert.equal(container.securityContext.readOnlyRootFilesystem, true, where)
      assert.equal(container.securityContext.allowPrivilegeEscalation, false, where)
      assert.deepEqual(container.securityContext.capabilities.drop, ['ALL'], where)
      assert.ok(container.resources.requests.memory && container.resources.limits.memory, where)
    }
  }
})

test('the sidecar is a native one, with probes, and callers reach it before the service', () => {
  const deployment = objects.find((o) => o.kind === 'Deployment' && o.metadata.name === 'claims')
  const [sidecar] = deployment.spec.template.spec.initContainers
  assert.equal(sidecar.restartPolicy, 'Always')
  for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) assert.ok(sidecar[probe], probe)
  const service = objects.find((o) => o.kind === 'Service' && o.metadata.name === 'claims')
  assert.equal(service.spec.ports[0].targetPort, sidecar.ports[0].name)
})

test('the collector keeps its data on a volume and is probed', () => {
  const set = objects.find((o) => o.kind === 'StatefulSet')
  const [collector] = set.spec.template.spec.containers
  for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) assert.ok(collector[probe], probe)
  const data = collector.volumeMounts.find((m) => m.name === 'data')
  assert.ok(collector.args.includes(`--data=${data.mountPath}`))
  assert.equal(set.spec.volumeClaimTemplates[0].metadata.name, 'data')
})
