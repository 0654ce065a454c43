{{- define "netns-agent.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "netns-agent.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "netns-agent.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "netns-agent.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "netns-agent.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "netns-agent.selectorLabels" -}}
app.kubernetes.io/name: {{ include "netns-agent.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "netns-agent.labels" -}}
{{- include "netns-agent.labelsWith" (list .) }}
{{- end }}

{{/*
Labels of an object, each key once: the chart's, then commonLabels, then the maps after the root context; later values
win. Templates in values are rendered.
*/}}
{{- define "netns-agent.labelsWith" -}}
{{- $ := first . }}
{{- $labels := fromYaml (include "netns-agent.selectorLabels" $) }}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- $_ := set $labels "app.kubernetes.io/version" $.Chart.AppVersion }}
{{- $_ := set $labels "app.kubernetes.io/component" "agent" }}
{{- $_ := set $labels "app.kubernetes.io/managed-by" $.Release.Service }}
{{- range $own := prepend (rest .) $.Values.commonLabels }}
{{- range $key, $value := $own }}{{ $_ := set $labels $key (tpl $value $) }}{{ end }}
{{- end }}
{{- toYaml $labels }}
{{- end }}

{{- define "netns-agent.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "netns-agent.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "netns-agent.image" -}}
{{- $image := .Values.image }}
{{- $registry := default $image.registry (.Values.global).imageRegistry }}
{{- if $registry }}{{ $registry }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .Chart.AppVersion $image.tag }}{{ end }}
{{- end }}

{{/* Host for the kubelet's probes: kubelet and hostNetwork pods share the node's loopback. */}}
{{- define "netns-agent.probe" -}}
port: {{ .Values.admin.port }}
{{- $host := .Values.admin.host | trimPrefix "[" | trimSuffix "]" }}
{{- if and .Values.hostNetwork (has $host (list "127.0.0.1" "0.0.0.0" "::")) }}
host: 127.0.0.1
{{- else if not (has $host (list "0.0.0.0" "::")) }}
host: {{ $host | quote }}
{{- end }}
{{- end }}

{{/* Port that scrapers use. */}}
{{- define "netns-agent.metricsPort" -}}
{{- ternary .Values.metricsServer.port .Values.admin.port (ne .Values.metricsServer.host "") }}
{{- end }}

{{/* Whether the agent checks tokens of scrapers; empty: no. */}}
{{- define "netns-agent.checksTokens" -}}
{{- if and .Values.metricsServer.host (eq .Values.metricsServer.authorization "kubernetes") }}true{{ end }}
{{- end }}

{{- define "netns-agent.asksApiServer" -}}
{{- if or .Values.watchPods (include "netns-agent.checksTokens" .) }}true{{ end }}
{{- end }}

{{/* Name of the objects that let monitors scrape. */}}
{{- define "netns-agent.scraper" -}}
{{- printf "%s-scraper" (include "netns-agent.fullname" . | trunc 55 | trimSuffix "-") }}
{{- end }}

{{- define "netns-agent.onLoopback" -}}
{{- if or (hasPrefix "127." .Values.admin.host) (eq .Values.admin.host "[::1]") }}true{{ end }}
{{- end }}

{{- define "netns-agent.refuse" -}}
{{- if and (not .Values.hostNetwork) (include "netns-agent.onLoopback" .) }}
{{- fail "with hostNetwork: false the kubelet's probes cannot reach admin.host 127.0.0.1: set admin.host to 0.0.0.0 or [::]" }}
{{- end }}
{{- if and .Values.hostNetwork (ne "0" (toString (default 0 (.Values.updateStrategy.rollingUpdate).maxSurge | toString | trimSuffix "%"))) }}
{{- fail "updateStrategy.rollingUpdate.maxSurge: two agents cannot share the node's port, so the new pod would never start: set maxUnavailable instead" }}
{{- end }}
{{- if and .Values.metricsServer.host (eq (int .Values.metricsServer.port) (int .Values.admin.port)) }}
{{- fail "metricsServer.port and admin.port are the same port: set another" }}
{{- end }}
{{- if and .Values.metricsServer.tls.clientCA (not .Values.metricsServer.tls.secret) }}
{{- fail "metricsServer.tls.clientCA is a key of a Secret: set metricsServer.tls.secret" }}
{{- end }}
{{- if and (eq .Values.metricsServer.authorization "kubernetes") (not .Values.metricsServer.host) }}
{{- fail "metricsServer.authorization is for the second server: set metricsServer.host" }}
{{- end }}
{{- if and (eq .Values.metricsServer.authorization "kubernetes") (not .Values.metricsServer.tls.secret) }}
{{- fail "metricsServer.authorization: tokens must not cross the network in the clear: set metricsServer.tls.secret" }}
{{- end }}
{{- range $value, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels "service.labels" .Values.service.labels }}
{{- range $key := list "app.kubernetes.io/name" "app.kubernetes.io/instance" }}
{{- if hasKey $labels $key }}
{{- fail (printf "%s: the DaemonSet selects its pods by %s, which cannot be set: set nameOverride or the name of the release instead" $value $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (not .Values.hostPaths.netns) (eq .Values.engine "setns") }}
{{- fail "hostPaths.netns: the engine setns follows names only, so without a directory no pod is seen: set engine to nsid" }}
{{- end }}
{{- if and .Values.interfaceIPs .Values.interfaces }}
{{- fail "interfaces and interfaceIPs exclude each other: set one of them" }}
{{- end }}
{{- end }}

{{/* Whether the pods see the processes of the node. */}}
{{- define "netns-agent.hostPID" -}}
{{- if or .Values.protocolStats .Values.config.proc }}true{{ end }}
{{- end }}

{{/* The agent's configuration file. */}}
{{- define "netns-agent.config" -}}
{{- $config := dict
  "engine" .Values.engine
  "cni-cache-dir" (ternary (first .Values.hostPaths.cniCache) .Values.hostPaths.cniCache (eq 1 (len .Values.hostPaths.cniCache)))
  "exclude-interfaces" .Values.excludeInterfaces
  "export-interval" .Values.otlp.interval
  "admin-address" (printf "%s:%v" .Values.admin.host .Values.admin.port)
  "log-level" .Values.log.level
  "log-format" .Values.log.format }}
{{- with .Values.hostPaths.netns }}{{ $_ := set $config "netns-dir" . }}{{ end }}
{{- with .Values.hostPaths.adminSocket }}{{ $_ := set $config "admin-socket" (printf "%s/admin.sock" (trimSuffix "/" .)) }}{{ end }}
{{- with .Values.hostPaths.state }}{{ $_ := set $config "state-dir" . }}{{ end }}
{{- if not .Values.watchPods }}{{ $_ := set $config "watch-pods" false }}{{ end }}
{{- if not .Values.watchResourceClaims }}{{ $_ := set $config "watch-resource-claims" false }}{{ end }}
{{- with .Values.interfaces }}{{ $_ := set $config "interfaces" . }}{{ end }}
{{- with .Values.interfaceIPs }}
{{- $_ := set $config "interface-ips" . }}
{{- $_ := unset $config "exclude-interfaces" }}
{{- end }}
{{- with .Values.includeNetns }}{{ $_ := set $config "include-netns" . }}{{ end }}
{{- with .Values.excludeNetns }}{{ $_ := set $config "exclude-netns" . }}{{ end }}
{{- with .Values.includeOwners }}{{ $_ := set $config "include-owner" . }}{{ end }}
{{- with .Values.excludeOwners }}{{ $_ := set $config "exclude-owner" . }}{{ end }}
{{- if ne (toString .Values.excludeHostEnds) "metrics" }}{{ $_ := set $config "exclude-host-ends" .Values.excludeHostEnds }}{{ end }}
{{- with .Values.attach.labels }}{{ $_ := set $config "pod-labels" . }}{{ end }}
{{- with .Values.attach.annotations }}{{ $_ := set $config "pod-annotations" . }}{{ end }}
{{- with .Values.metricsServer }}
{{- if .host }}{{ $_ := set $config "metrics-address" (printf "%s:%v" .host .port) }}{{ end }}
{{- if and .host (ne .authorization "none") }}{{ $_ := set $config "metrics-authorization" .authorization }}{{ end }}
{{- if and .host .tls.secret }}
{{- $_ := set $config "metrics-tls-certificate" "/run/secrets/netns-agent/metrics-tls/tls.crt" }}
{{- $_ := set $config "metrics-tls-key" "/run/secrets/netns-agent/metrics-tls/tls.key" }}
{{- with .tls.clientCA }}{{ $_ := set $config "metrics-tls-client-ca" (printf "/run/secrets/netns-agent/metrics-tls/%s" .) }}{{ end }}
{{- end }}
{{- end }}
{{- if .Values.protocolStats }}{{ $_ := set $config "protocol-stats" true }}{{ end }}
{{- toYaml (mergeOverwrite $config .Values.config) }}
{{- end }}

{{- define "netns-agent.configMapName" -}}
{{- default (include "netns-agent.fullname" .) .Values.existingConfigMap }}
{{- end }}

{{/* The part of the configuration whose change replaces the pods. */}}
{{- define "netns-agent.rolledConfig" -}}
{{- $config := fromYaml (include "netns-agent.config" .) }}
{{- if eq .Values.rollOnConfigChange "needed" }}
{{- $config = omit $config "interfaces" "exclude-interfaces" "interface-ips" "include-netns" "exclude-netns" "include-owner" "exclude-owner" "exclude-host-ends" "pod-labels" "pod-annotations" }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{/* Drops all capabilities except the engine's. uid 0 reads the CNI results (mode 0700) without CAP_DAC_OVERRIDE. */}}
{{- define "netns-agent.securityContext" -}}
{{- $own := include "netns-agent.leastPrivilege" . }}
{{- with .Values.securityContext }}
{{- toYaml (mergeOverwrite (fromYaml $own) .) }}
{{- else }}
{{- $own }}
{{- end }}
{{- end }}

{{- define "netns-agent.leastPrivilege" -}}
runAsUser: 0
runAsGroup: 0
runAsNonRoot: false
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
privileged: false
seccompProfile:
  type: RuntimeDefault
capabilities:
  drop: [ALL]
  add:
    {{- if ne .Values.engine "setns" }}
    # Assign nsids and list the links of other namespaces.
    - NET_ADMIN
    # Receive notifications of every namespace on one socket (NETLINK_LISTEN_ALL_NSID).
    - NET_BROADCAST
    {{- end }}
    {{- if ne .Values.engine "nsid" }}
    # Enter each namespace once (setns).
    - SYS_ADMIN
    {{- end }}
    {{- if .Values.config.proc }}
    # Read which network namespace a process is in (config.proc).
    - SYS_PTRACE
    {{- end }}
{{- end }}

{{- define "netns-agent.env" -}}
- name: NETNS_AGENT_CONFIG
  value: /etc/netns-agent/config.yaml
- name: NETNS_AGENT_NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
- name: NODE_IP
  valueFrom:
    fieldRef:
      fieldPath: status.hostIP
{{- with .Values.otlp }}
{{- if .endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
{{- with .protocol }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ . }}
{{- end }}
- name: OTEL_EXPORTER_OTLP_COMPRESSION
  value: {{ .compression }}
{{- with .headersSecret.name }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $.Values.otlp.headersSecret.key }}
{{- end }}
{{- if .tls.caSecret }}
- name: OTEL_EXPORTER_OTLP_CERTIFICATE
  value: /run/secrets/netns-agent/otlp-ca/ca.crt
{{- end }}
{{- if .tls.clientSecret }}
- name: OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE
  value: /run/secrets/netns-agent/otlp-client/tls.crt
- name: OTEL_EXPORTER_OTLP_CLIENT_KEY
  value: /run/secrets/netns-agent/otlp-client/tls.key
{{- end }}
{{- end }}
{{- with .resourceAttributes }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ include "netns-agent.pairs" . | quote }}
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "netns-agent.pairs" -}}
{{- $pairs := list }}
{{- range $key, $value := . }}{{ $pairs = append $pairs (printf "%s=%s" $key $value) }}{{ end }}
{{- join "," $pairs }}
{{- end }}

{{/* The directories above those of CNI results, without directories below another of them. */}}
{{- define "netns-agent.cniParents" -}}
{{- $parents := list }}
{{- range .Values.hostPaths.cniCache }}{{ $parents = append $parents (dir (trimSuffix "/" .)) }}{{ end }}
{{- $outer := list }}
{{- range $path := uniq $parents }}
{{- $below := false }}
{{- range $other := $parents }}{{ if hasPrefix (printf "%s/" $other) $path }}{{ $below = true }}{{ end }}{{ end }}
{{- if not $below }}{{ $outer = append $outer $path }}{{ end }}
{{- end }}
{{- toJson $outer }}
{{- end }}

{{- define "netns-agent.volumeMounts" -}}
# A directory, not a subPath: the agent must see a changed ConfigMap to reload filters and labels.
- name: config
  mountPath: /etc/netns-agent
  readOnly: true
# Namespaces are mounts: without HostToContainer, later namespaces are invisible.
{{- range $index, $path := .Values.hostPaths.netns }}
- name: netns{{ if $index }}-{{ $index }}{{ end }}
  mountPath: {{ $path }}
  mountPropagation: HostToContainer
  readOnly: true
{{- end }}
# The directory above: a mount of the results themselves would go on showing a directory that a runtime has replaced.
{{- range $index, $path := fromJsonArray (include "netns-agent.cniParents" .) }}
- name: cni-cache{{ if $index }}-{{ $index }}{{ end }}
  mountPath: {{ $path }}
  readOnly: true
{{- end }}
{{- with .Values.hostPaths.adminSocket }}
- name: admin-socket
  mountPath: {{ . }}
{{- end }}
{{- with .Values.hostPaths.state }}
- name: state
  mountPath: {{ . }}
{{- end }}
{{- if and .Values.metricsServer.host .Values.metricsServer.tls.secret }}
- name: metrics-tls
  mountPath: /run/secrets/netns-agent/metrics-tls
  readOnly: true
{{- end }}
{{- if .Values.otlp.tls.caSecret }}
- name: otlp-ca
  mountPath: /run/secrets/netns-agent/otlp-ca
  readOnly: true
{{- end }}
{{- if .Values.otlp.tls.clientSecret }}
- name: otlp-client
  mountPath: /run/secrets/netns-agent/otlp-client
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "netns-agent.volumes" -}}
- name: config
  configMap:
    name: {{ include "netns-agent.configMapName" . }}
# Created if missing, as by a container runtime: a node without pods has neither directory.
{{- range $index, $path := .Values.hostPaths.netns }}
- name: netns{{ if $index }}-{{ $index }}{{ end }}
  hostPath:
    path: {{ $path }}
    type: DirectoryOrCreate
{{- end }}
{{- range $index, $path := fromJsonArray (include "netns-agent.cniParents" .) }}
- name: cni-cache{{ if $index }}-{{ $index }}{{ end }}
  hostPath:
    path: {{ $path }}
    type: DirectoryOrCreate
{{- end }}
{{- with .Values.hostPaths.adminSocket }}
- name: admin-socket
  hostPath:
    path: {{ . }}
    type: DirectoryOrCreate
{{- end }}
{{- with .Values.hostPaths.state }}
- name: state
  hostPath:
    path: {{ . }}
    type: DirectoryOrCreate
{{- end }}
{{- if and .Values.metricsServer.host .Values.metricsServer.tls.secret }}
- name: metrics-tls
  secret:
    secretName: {{ .Values.metricsServer.tls.secret }}
{{- end }}
{{- with .Values.otlp.tls.caSecret }}
- name: otlp-ca
  secret:
    secretName: {{ . }}
{{- end }}
{{- with .Values.otlp.tls.clientSecret }}
- name: otlp-client
  secret:
    secretName: {{ . }}
    defaultMode: 0400
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Part of the pod spec shared by DaemonSet and test. */}}
{{- define "netns-agent.podSpec" -}}
serviceAccountName: {{ include "netns-agent.serviceAccountName" . }}
{{- $secrets := .Values.imagePullSecrets }}
{{- range (.Values.global).imagePullSecrets }}
{{- $secrets = append $secrets (ternary (dict "name" .) . (kindIs "string" .)) }}
{{- end }}
{{- with $secrets | uniq }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
automountServiceAccountToken: {{ ne "" (include "netns-agent.asksApiServer" .) }}
# A Service named netns-agent would otherwise set NETNS_AGENT_… variables in the environment.
enableServiceLinks: false
# The node's own interfaces are in the node's network namespace.
hostNetwork: {{ .Values.hostNetwork }}
{{- if include "netns-agent.hostPID" . }}
hostPID: true
{{- end }}
dnsPolicy: {{ default (ternary "ClusterFirstWithHostNet" "ClusterFirst" .Values.hostNetwork) .Values.dnsPolicy }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $security := .Values.podSecurityContext }}
{{- if .Values.openShift.enabled }}
{{- /* Only spc_t may list the directories of the container runtime. */}}
{{- $security = mergeOverwrite (dict "seLinuxOptions" (dict "type" "spc_t")) $security }}
{{- end }}
{{- with $security }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if kindIs "bool" .Values.hostUsers }}
hostUsers: {{ .Values.hostUsers }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.schedulerName }}
schedulerName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  {{- include "netns-agent.volumes" . | nindent 2 }}
{{- end }}
