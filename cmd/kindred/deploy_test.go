package main

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"kindred/internal/config"
	"kindred/internal/store"
)

const deployFolder = "../../deploy/"

// variables are what an example sets, by name.
type variables map[string]string

// deployExamples are the environments of all examples, by a name for errors.
func deployExamples(t testing.TB) map[string]variables {
	t.Helper()
	examples := map[string]variables{
		"systemd/kindred":         readUnit(t, "kindred.service").variables(),
		"systemd/kindred-migrate": readUnit(t, "kindred-migrate.service").variables(),
		"kubernetes/deployment":   readManifest(t, "deployment.yaml", "Deployment").pod().Containers[0].variables(),
		"kubernetes/migrate":      readManifest(t, "migrate.yaml", "Job").pod().Containers[0].variables(),
	}
	maps.Copy(examples["systemd/kindred"], readEnvironmentFile(t, deployFolder+"systemd/kindred.env"))
	var compose struct {
		Services map[string]struct {
			Image       string
			Environment variables
		}
	}
	readYAML(t, "../../docker-compose.yml", &compose)
	for name, service := range compose.Services {
		if strings.Contains(service.Image, "KINDRED_IMAGE") {
			examples["compose/"+name] = service.Environment
		}
	}
	return examples
}

// readYAML reads all documents of a file into values, one each.
func readYAML(t testing.TB, path string, values ...any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	documents := yaml.NewDecoder(bytes.NewReader(text))
	for _, value := range values {
		if err := documents.Decode(value); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	if err := documents.Decode(new(any)); !errors.Is(err, io.EOF) {
		t.Fatalf("%s has more documents than %d, %v", path, len(values), err)
	}
}

func readEnvironmentFile(t testing.TB, path string) variables {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	set := variables{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			t.Errorf("%s: %q sets nothing", path, line)
		}
		set[name] = value
	}
	return set
}

// An example that sets what nobody reads would be followed for years.
func TestDeploy_ExamplesSetWhatIsRead(t *testing.T) {
	t.Parallel()
	known := map[string]bool{} // by name, whether it is a secret that stands there in clear
	for _, s := range config.Settings() {
		known[s.Name] = s.File
		if s.File {
			known[s.Name+"_FILE"] = false
		}
	}
	for example, set := range deployExamples(t) {
		if len(set) == 0 {
			t.Errorf("%s sets nothing", example)
		}
		for name := range set {
			inClear, ok := known[name]
			switch {
			case !ok:
				t.Errorf("%s sets %s, which is no setting", example, name)
			case inClear && !strings.HasPrefix(example, "compose/"): // there they come from a file of the owner's
				t.Errorf("%s has the secret %s in its environment", example, name)
			}
		}
	}
}

// What serve would refuse to start with must not be an example.
func TestDeploy_ServeStartsWithTheExamples(t *testing.T) {
	t.Parallel()
	tried := 0
	for example, set := range deployExamples(t) {
		if strings.Contains(example, "migrate") {
			continue
		}
		tried++
		if _, err := loadExample(t, set, goodSecret); err != nil {
			t.Errorf("%s: %v", example, err)
		}
	}
	if tried < 3 {
		t.Errorf("only %d examples serve", tried)
	}
}

// Whoever applies the example as it stands gets no server with a secret that everybody knows.
func TestDeploy_PlaceholdersOfTheSecretAreRefused(t *testing.T) {
	t.Parallel()
	server, _ := readSecrets(t)
	set := deployExamples(t)["kubernetes/deployment"]
	_, err := loadExample(t, set, func(name string) string {
		return server.StringData[filepath.Base(set[name+"_FILE"])]
	})
	if err == nil {
		t.Fatal("serve takes the placeholders")
	}
	for _, name := range []string{"KEY_ENCRYPTION_KEY", "JWT_REFRESH_SECRET"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not refused: %v", name, err)
		}
	}
}

// loadExample reads settings as serve does, with secrets in the place of files and of what compose fills in.
func loadExample(t testing.TB, set variables, secret func(name string) string) (config.Config, error) {
	t.Helper()
	dir := t.TempDir()
	var environ []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		value := os.Expand(set[name], func(expression string) string {
			if name, byDefault, ok := strings.Cut(expression, ":-"); ok && name != "" {
				return byDefault
			}
			name, _, _ := strings.Cut(expression, ":?")
			return secret(name)
		})
		if of, isFile := strings.CutSuffix(name, "_FILE"); isFile {
			value = filepath.Join(dir, of)
			if err := os.WriteFile(value, []byte(secret(of)+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		environ = append(environ, name+"="+value)
	}
	return config.Load(config.Source{Environ: environ, Dir: dir, ParseDatabaseURL: store.ParseURL})
}

func goodSecret(name string) string {
	switch name {
	case "DATABASE_URL":
		return "postgres://kindred_server:secret@db.example:5432/kindred?sslmode=verify-full"
	case "KEY_ENCRYPTION_KEY":
		return strings.TrimPrefix(keyEncryptionKey, "KEY_ENCRYPTION_KEY=")
	case "JWT_SECRET":
		return jwtSecret
	}
	return refreshSecret
}
