{{- define "braid.name" -}}
{{- printf "%s" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "braid.labels" -}}
app.kubernetes.io/name: braid
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* What selects the pods of one component; `component` and the root context. */}}
{{- define "braid.selector" -}}
app.kubernetes.io/name: braid
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "braid.tag" -}}
{{- .Values.image.tag | default .Chart.AppVersion -}}
{{- end -}}

{{- define "braid.joinSecret" -}}
{{- .Values.joinSecret | default (printf "%s-join" (include "braid.name" .)) -}}
{{- end -}}

{{/* The coordinators, as clients and workers name them. */}}
{{- define "braid.coordinators" -}}
{{- $name := include "braid.name" . -}}
{{- $all := list -}}
{{- range $i := until (int .Values.coordinator.replicas) -}}
{{- $all = append $all (printf "%s-coordinator-%d.%s-coordinator:7117" $name $i $name) -}}
{{- end -}}
{{- join "," $all -}}
{{- end -}}

{{/* The store's address; empty for the coordinator's own disk. */}}
{{- define "braid.store" -}}
{{- $name := include "braid.name" . -}}
{{- if .Values.etcd.endpoints -}}
etcd://{{ join "," .Values.etcd.endpoints }}
{{- else if .Values.etcd.enabled -}}
{{- $all := list -}}
{{- range $i := until (int .Values.etcd.replicas) -}}
{{- $all = append $all (printf "%s-etcd-%d.%s-etcd:2379" $name $i $name) -}}
{{- end -}}
etcd://{{ join "," $all }}
{{- else if gt (int .Values.coordinator.replicas) 1 -}}
{{- fail "coordinator.replicas above 1 needs etcd: set etcd.enabled, or etcd.endpoints" -}}
{{- end -}}
{{- end -}}

{{- define "braid.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "braid.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}
