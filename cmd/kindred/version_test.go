package main

import (
	"debug/buildinfo"
	"encoding/json"
	"runtime/debug"
	"strings"
	"testing"
)

// What the command says is what the toolchain noted in the file that runs.
func TestVersion_SaysWhatTheBinaryWasBuiltFrom(t *testing.T) {
	t.Parallel()
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := run(t, "", nil, "version", "--json")
	var got struct {
		build
		Version string
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	if want := describeBuild(info); got.build != want || want.Go == "" || got.Version != "dev" {
		t.Errorf("the binary is of %+v, and says %s", want, stdout)
	}
	if words, _, _ := run(t, "", nil, "version"); !strings.Contains(words, got.build.String()) || strings.Count(words, "\n") != 1 {
		t.Errorf("in words: %q", words)
	}
}

func TestVersion_OfAWorkingCopyAndOfNone(t *testing.T) {
	t.Parallel()
	settings := []debug.BuildSetting{
		{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "b1702d670460fd8950412eb62bc60d13a016d873"},
		{Key: "vcs.time", Value: "2026-11-25T17:30:00Z"}, {Key: "vcs.modified", Value: "false"},
	}
	changed := append(settings[:3:3], debug.BuildSetting{Key: "vcs.modified", Value: "true"})
	for want, info := range map[string]*debug.BuildInfo{
		"commit b1702d670460 of 2026-11-25T17:30:00Z":             {Settings: settings},
		"commit b1702d670460 of 2026-11-25T17:30:00Z and changes": {Settings: changed},
		"commit unknown": {},
	} {
		if got := describeBuild(info).String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := describeBuild(nil); got != (build{}) {
		t.Errorf("without any information: %+v", got)
	}
}
