{{- define "seamline.name" -}}{{ .Release.Name }}-seamline{{- end -}}

{{- define "seamline.labels" -}}
app.kubernetes.io/name: seamline
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "seamline.allLabels" -}}
{{ include "seamline.labels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{- define "seamline.image" -}}
{{ with .root.Values.image.registry }}{{ . }}/{{ end }}seamline-{{ .image }}:{{ .root.Values.image.tag }}
{{- end -}}

{{- define "seamline.rabbitmqHost" -}}
{{ if .Values.rabbitmq.create }}{{ include "seamline.name" . }}-rabbitmq{{ else }}{{ required "rabbitmq.host: name the RabbitMQ to use, or set rabbitmq.create" .Values.rabbitmq.host }}{{ end }}
{{- end -}}

{{- define "seamline.rabbitmqAdmin" -}}
{{ if .Values.rabbitmq.adminSecret }}{{ .Values.rabbitmq.adminSecret }}{{ else if .Values.rabbitmq.create }}{{ include "seamline.name" . }}-rabbitmq-default-user{{ else }}{{ fail "rabbitmq.adminSecret: name the Secret of the user who makes users and queues" }}{{ end }}
{{- end -}}

{{- define "seamline.objectStoreUrl" -}}
{{ if .Values.objectStore.tls }}s3s{{ else }}s3{{ end }}://{{ .Values.objectStore.host }}:{{ .Values.objectStore.port }}/{{ .Values.objectStore.bucket }}
{{- end -}}

{{- /* The settings of every service: broker and object storage, with secrets as files. */ -}}
{{- define "seamline.env" -}}
{{- $prefix := upper .service -}}
- name: {{ $prefix }}_BROKER_URL
  value: {{ if .root.Values.rabbitmq.tls }}amqps{{ else }}amqp{{ end }}://{{ include "seamline.rabbitmqHost" .root }}:{{ .root.Values.rabbitmq.port }}/seamline?topology=given
- name: {{ $prefix }}_BROKER_USER
  value: {{ .user }}
- name: {{ $prefix }}_BROKER_PASSWORD_FILE
  value: /run/secrets/seamline/broker-password
- name: {{ $prefix }}_STORAGE_URL
  value: {{ include "seamline.objectStoreUrl" .root }}
{{- if eq .root.Values.objectStore.users "single" }}
- name: {{ $prefix }}_STORAGE_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ .root.Values.objectStore.rootSecret }}, key: user}}
{{- else }}
- name: {{ $prefix }}_STORAGE_ACCESS_KEY
  value: {{ .user }}
{{- end }}
- name: {{ $prefix }}_STORAGE_SECRET_KEY_FILE
  value: /run/secrets/seamline/storage-secret-key
{{- if .root.Values.tlsAuthoritySecret }}
- name: {{ $prefix }}_TLS_CA
  value: /run/tls/ca.crt
{{- end }}
{{- if and .root.Values.tracing.endpoint (ne .service "trainer") }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .root.Values.tracing.endpoint | quote }}
- name: OTEL_TRACES_SAMPLER
  value: parentbased_traceidratio
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ .root.Values.tracing.share | quote }}
{{- end }}
{{- end -}}

{{- define "seamline.podSecurity" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "seamline.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{- /* A service without a loop that turns is started again; while it starts it may load models for minutes. */ -}}
{{- define "seamline.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 5
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 15
  timeoutSeconds: 10
  failureThreshold: 4
{{- end -}}

{{- define "seamline.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: secrets, mountPath: /run/secrets/seamline, readOnly: true}
{{- if .root.Values.tlsAuthoritySecret }}
- {name: authority, mountPath: /run/tls, readOnly: true}
{{- end }}
{{- end -}}

{{- define "seamline.volumes" -}}
- name: tmp
  emptyDir: {medium: Memory, sizeLimit: 256Mi}
- name: secrets
  secret: {secretName: {{ .secret }}, defaultMode: 0440}
{{- if .root.Values.tlsAuthoritySecret }}
- name: authority
  secret: {secretName: {{ .root.Values.tlsAuthoritySecret }}}
{{- end }}
{{- end -}}

{{- define "seamline.podAnnotations" -}}
{{- if .root.Values.prometheusAnnotations }}
prometheus.io/scrape: "true"
prometheus.io/port: "9100"
{{- end }}
{{- end -}}

{{- define "seamline.little" -}}
resources:
  requests: {cpu: 50m, memory: 128Mi}
  limits: {cpu: 500m, memory: 256Mi}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
{{- if .Values.tlsAuthoritySecret }}
  - {name: authority, mountPath: /run/tls, readOnly: true}
{{- end }}
{{- end -}}

{{- define "seamline.objectStoreRoot" -}}
- name: OBJECT_STORE_URL
  value: {{ include "seamline.objectStoreUrl" . }}
- name: OBJECT_STORE_ROOT_USER
  valueFrom: {secretKeyRef: {name: {{ .Values.objectStore.rootSecret }}, key: user}}
- name: OBJECT_STORE_ROOT_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ .Values.objectStore.rootSecret }}, key: password}}
- name: OBJECT_STORE_USERS
  value: {{ .Values.objectStore.users }}
- name: OBJECT_STORE_AUDIT_DAYS
  value: {{ .Values.objectStore.auditDays | quote }}
- name: OBJECT_STORE_AUDIT_REMOVAL_DAYS
  value: {{ .Values.objectStore.auditRemovalDays | quote }}
{{- if .Values.tlsAuthoritySecret }}
- name: OBJECT_STORE_TLS_CA
  value: /run/tls/ca.crt
{{- end }}
{{- end -}}

{{- /* Where servers are that the chart does not run; without networks: anywhere. */ -}}
{{- define "seamline.toServers" -}}
{{- with .Values.networkPolicies.serverNetworks -}}
to:
{{- range . }}
  - ipBlock: {cidr: {{ . }}}
{{- end }}
{{- end }}
{{- end -}}
