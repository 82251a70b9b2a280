package main

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The parts of the manifests that the tests look at.
type (
	labels map[string]string

	manifest struct {
		Kind     string
		Metadata struct{ Name string }
		Spec     struct {
			Replicas int
			Selector struct {
				MatchLabels labels `yaml:"matchLabels"`
			}
			Strategy struct {
				RollingUpdate struct {
					MaxUnavailable int `yaml:"maxUnavailable"`
				} `yaml:"rollingUpdate"`
			}
			MaxUnavailable int `yaml:"maxUnavailable"`
			Template       struct {
				Metadata struct{ Labels labels }
				Spec     podSpec
			}
		}
	}

	serviceManifest struct {
		Kind string
		Spec struct {
			Selector labels
			Ports    []struct {
				TargetPort string `yaml:"targetPort"`
			}
		}
	}

	secretManifest struct {
		Kind       string
		Metadata   struct{ Name string }
		StringData map[string]string `yaml:"stringData"`
	}

	podSpec struct {
		AutomountServiceAccountToken  *bool  `yaml:"automountServiceAccountToken"`
		EnableServiceLinks            *bool  `yaml:"enableServiceLinks"`
		TerminationGracePeriodSeconds int    `yaml:"terminationGracePeriodSeconds"`
		RestartPolicy                 string `yaml:"restartPolicy"`
		SecurityContext               struct {
			RunAsNonRoot   bool                  `yaml:"runAsNonRoot"`
			RunAsUser      int                   `yaml:"runAsUser"`
			RunAsGroup     int                   `yaml:"runAsGroup"`
			FSGroup        int                   `yaml:"fsGroup"`
			SeccompProfile struct{ Type string } `yaml:"seccompProfile"`
		} `yaml:"securityContext"`
		Containers []container
		Volumes    []struct {
			Name   string
			Secret struct {
				SecretName  string `yaml:"secretName"`
				DefaultMode int    `yaml:"defaultMode"`
			}
		}
	}

	container struct {
		Image string
		Args  []string
		Ports []struct {
			Name          string
			ContainerPort int `yaml:"containerPort"`
		}
		Env             []struct{ Name, Value string }
		ReadinessProbe  probe `yaml:"readinessProbe"`
		LivenessProbe   probe `yaml:"livenessProbe"`
		Resources       struct{ Requests, Limits map[string]string }
		SecurityContext struct {
			AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
			ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
			Capabilities             struct{ Drop []string }
		} `yaml:"securityContext"`
		VolumeMounts []struct {
			Name      string
			MountPath string `yaml:"mountPath"`
		} `yaml:"volumeMounts"`
	}

	probe struct {
		HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
	}
)

func (m manifest) pod() podSpec { return m.Spec.Template.Spec }

func (c container) variables() variables {
	set := variables{}
	for _, v := range c.Env {
		set[v.Name] = v.Value
	}
	return set
}

func readManifest(t testing.TB, file, kind string) (m manifest) {
	t.Helper()
	readYAML(t, deployFolder+"kubernetes/"+file, &m)
	if m.Kind != kind || kind != "PodDisruptionBudget" && len(m.pod().Containers) != 1 {
		t.Fatalf("%s is a %s with %d containers", file, m.Kind, len(m.pod().Containers))
	}
	return m
}

func readSecrets(t testing.TB) (server, migrations secretManifest) {
	t.Helper()
	readYAML(t, deployFolder+"kubernetes/secrets.example.yaml", &server, &migrations)
	return server, migrations
}

func TestKubernetes_ManifestsFitTogether(t *testing.T) {
	t.Parallel()
	deployment := readManifest(t, "deployment.yaml", "Deployment")
	pods := deployment.Spec.Template.Metadata.Labels
	var service serviceManifest
	readYAML(t, deployFolder+"kubernetes/service.yaml", &service)
	for what, selector := range map[string]labels{
		"deployment": deployment.Spec.Selector.MatchLabels,
		"service":    service.Spec.Selector,
		"budget":     readManifest(t, "poddisruptionbudget.yaml", "PodDisruptionBudget").Spec.Selector.MatchLabels,
	} {
		if len(selector) == 0 || !selects(selector, pods) {
			t.Errorf("the %s selects %v, and the pods are %v", what, selector, pods)
		}
		if selects(selector, readManifest(t, "migrate.yaml", "Job").Spec.Template.Metadata.Labels) {
			t.Errorf("the %s selects the pod of the migrations too", what)
		}
	}
	server := deployment.pod().Containers[0]
	if names := portNames(server); len(service.Spec.Ports) != 1 || service.Spec.Ports[0].TargetPort != "http" || !slices.Equal(names, []string{"http", "ops"}) {
		t.Errorf("the service leads to %v, and the pods have %v", service.Spec.Ports, names)
	}
	job := readManifest(t, "migrate.yaml", "Job")
	if migrate := job.pod().Containers[0]; migrate.Image != server.Image || !slices.Equal(migrate.Args, []string{"migrate", "up"}) || !slices.Equal(server.Args, []string{"serve"}) {
		t.Errorf("image %s is to %v, and image %s to %v", server.Image, server.Args, migrate.Image, migrate.Args)
	}
	if job.pod().RestartPolicy != "Never" {
		t.Errorf("a job's pods restart %s", job.pod().RestartPolicy)
	}
	var kustomization struct{ Resources []string }
	readYAML(t, deployFolder+"kubernetes/kustomization.yaml", &kustomization)
	if want := []string{"deployment.yaml", "service.yaml", "poddisruptionbudget.yaml"}; !slices.Equal(kustomization.Resources, want) {
		t.Errorf("kustomize applies %q, want %q", kustomization.Resources, want)
	}
}

func selects(selector, of labels) bool {
	for name, value := range selector {
		if of[name] != value {
			return false
		}
	}
	return true
}

func portNames(c container) (names []string) {
	for _, port := range c.Ports {
		names = append(names, port.Name)
	}
	return names
}

// Nobody is left without an answer: not by an upgrade, not by a node that is emptied, not by a probe.
func TestKubernetes_PodsComeAndGoUnnoticed(t *testing.T) {
	t.Parallel()
	deployment := readManifest(t, "deployment.yaml", "Deployment")
	budget := readManifest(t, "poddisruptionbudget.yaml", "PodDisruptionBudget")
	if deployment.Spec.Replicas < 2 || deployment.Spec.Strategy.RollingUpdate.MaxUnavailable != 0 || budget.Spec.MaxUnavailable >= deployment.Spec.Replicas {
		t.Errorf("%d replicas, of which an upgrade takes %d and a node %d",
			deployment.Spec.Replicas, deployment.Spec.Strategy.RollingUpdate.MaxUnavailable, budget.Spec.MaxUnavailable)
	}
	if grace := deployment.pod().TerminationGracePeriodSeconds; grace < 30 {
		t.Errorf("killed after %d s, and a server may take 25", grace)
	}
	server := deployment.pod().Containers[0]
	if get := server.ReadinessProbe.HTTPGet; get.Path != "/readyz" || get.Port != "http" {
		t.Errorf("ready is what answers at %+v", get)
	}
	if get := server.LivenessProbe.HTTPGet; get.Path != "/livez" || get.Port != "http" {
		t.Errorf("restarted is what does not answer at %+v", get)
	}
}

// These are the demands of the pod security standard "restricted", and a root that cannot be written to.
func TestKubernetes_PodsMayDoNothing(t *testing.T) {
	t.Parallel()
	for file, kind := range map[string]string{"deployment.yaml": "Deployment", "migrate.yaml": "Job"} {
		pod := readManifest(t, file, kind).pod()
		as := pod.SecurityContext
		if !as.RunAsNonRoot || as.RunAsUser != 65532 || as.RunAsGroup != 65532 || as.FSGroup != 65532 || pod.seccomp() != "RuntimeDefault" {
			t.Errorf("%s runs as %+v", file, as)
		}
		if token := pod.AutomountServiceAccountToken; token == nil || *token {
			t.Errorf("%s has a token for the cluster", file)
		}
		if links := pod.EnableServiceLinks; links == nil || *links {
			t.Errorf("%s has variables that neighbours decide", file)
		}
		c := pod.Containers[0]
		may := c.SecurityContext
		if may.AllowPrivilegeEscalation == nil || *may.AllowPrivilegeEscalation || !may.ReadOnlyRootFilesystem || !slices.Equal(may.Capabilities.Drop, []string{"ALL"}) {
			t.Errorf("%s may do %+v", file, may)
		}
		for _, of := range []map[string]string{c.Resources.Requests, c.Resources.Limits} {
			if names := slices.Sorted(maps.Keys(of)); !slices.Equal(names, []string{"cpu", "memory"}) {
				t.Errorf("%s bounds %q", file, names)
			}
		}
	}
}

func (p podSpec) seccomp() string { return p.SecurityContext.SeccompProfile.Type }

// Each file that a pod is told to read is a key of the secret that it mounts, and the server has not the owner's.
func TestKubernetes_SecretsAreThereAndApart(t *testing.T) {
	t.Parallel()
	server, migrations := readSecrets(t)
	for file, c := range map[string]struct {
		kind   string
		secret secretManifest
	}{"deployment.yaml": {"Deployment", server}, "migrate.yaml": {"Job", migrations}} {
		pod := readManifest(t, file, c.kind).pod()
		if v := pod.Volumes; len(v) != 1 || v[0].Secret.SecretName != c.secret.Metadata.Name || v[0].Secret.DefaultMode != 0o440 {
			t.Fatalf("%s mounts %+v, and the secret is %s", file, v, c.secret.Metadata.Name)
		}
		mount := pod.Containers[0].VolumeMounts[0]
		if mount.Name != pod.Volumes[0].Name {
			t.Errorf("%s mounts %s of volume %s", file, mount.Name, pod.Volumes[0].Name)
		}
		_, authority, _ := strings.Cut(c.secret.StringData["database-url"], "sslrootcert=")
		wanted := []string{authority}
		for name, value := range pod.Containers[0].variables() {
			if strings.HasSuffix(name, "_FILE") {
				wanted = append(wanted, value)
			}
		}
		for _, path := range wanted {
			if _, ok := c.secret.StringData[filepath.Base(path)]; !ok || filepath.Dir(path) != mount.MountPath {
				t.Errorf("%s reads %q, which no secret has", file, path)
			}
		}
	}
	if server.StringData["database-url"] == migrations.StringData["database-url"] || server.Metadata.Name == migrations.Metadata.Name {
		t.Error("the server has the role that owns the schema")
	}
}
