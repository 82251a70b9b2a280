package config_test

import (
	"strings"
	"testing"
	"time"

	"kindred/internal/config"
)

func TestLoad_TracesAreOffUntilAskedFor(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]map[string]string{
		"nothing":        {},
		"only a name":    {"OTEL_SERVICE_NAME": "id", "OTEL_TRACES_SAMPLER": "always_on"},
		"no exporter":    {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"},
		"disabled":       {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"},
		"off, with gRPC": {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"},
	} {
		if c := load(t, change); c.Traces.Endpoint != "" {
			t.Errorf("%s: traces go to %s", name, c.Traces.Endpoint)
		}
	}
}

func TestLoad_TracesGoWhereTheVariablesSay(t *testing.T) {
	t.Parallel()
	const all, own = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	for want, change := range map[string]map[string]string{
		"http://c:4318/v1/traces":         {all: "http://c:4318"},
		"http://c:4318/p/v1/traces":       {all: "http://c:4318/p/"},
		"https://own.example/here":        {all: "http://c:4318", own: "https://own.example/here"},
		"http://localhost:4318/v1/traces": {"OTEL_TRACES_EXPORTER": "otlp"},
	} {
		if c := load(t, change); c.Traces.Endpoint != want {
			t.Errorf("%v: traces go to %s, want %s", change, c.Traces.Endpoint, want)
		}
	}
	c := load(t, map[string]string{
		all: "http://c:4318", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Basic%20abc, x-tenant=7", "OTEL_EXPORTER_OTLP_TIMEOUT": "2500",
		"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25",
	}).Traces
	if c.Headers["authorization"].Reveal() != "Basic abc" || c.Headers["x-tenant"].Reveal() != "7" || len(c.Headers) != 2 ||
		c.Timeout != 2500*time.Millisecond || c.Sampler != (config.Sampler{Ratio: 0.25, ParentBased: true}) {
		t.Errorf("traces %+v", c)
	}
	for sampler, want := range map[string]config.Sampler{
		"": {1, true}, "always_on": {1, false}, "always_off": {0, false}, "traceidratio": {1, false}, "parentbased_always_off": {0, true},
	} {
		if c := load(t, map[string]string{all: "http://c:4318", "OTEL_TRACES_SAMPLER": sampler}); c.Traces.Sampler != want {
			t.Errorf("%q: %+v, want %+v", sampler, c.Traces.Sampler, want)
		}
	}
}

func TestLoad_TracesRefusals(t *testing.T) {
	t.Parallel()
	for name, values := range map[string][]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT":           {"collector:4318", "grpc://c:4317", "http://u:p4ssw0rd@c:4318", "http://", "http://c:4318?x=1"},
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":    {"collector:4318"},
		"OTEL_EXPORTER_OTLP_PROTOCOL":           {"grpc", "http/json"},
		"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": {"gzip"},
		"OTEL_EXPORTER_OTLP_CERTIFICATE":        {"/ca.pem"},
		"OTEL_EXPORTER_OTLP_HEADERS":            {"s3cret", "=s3cret", "a=%zz", "a=b%0d%0ac"},
		"OTEL_EXPORTER_OTLP_TIMEOUT":            {"0", "10s"},
		"OTEL_TRACES_EXPORTER":                  {"zipkin", "console"},
		"OTEL_TRACES_SAMPLER":                   {"jaeger_remote", "sometimes"},
	} {
		for _, value := range values {
			changed := complete()
			changed["OTEL_TRACES_EXPORTER"] = "otlp"
			changed[name] = value
			_, err := config.Load(source(changed))
			if err == nil || !strings.Contains(err.Error(), name) || len(value) > 3 && strings.Contains(err.Error(), value) {
				t.Errorf("%s=%s: error %v", name, value, err)
			}
		}
	}
	for _, ratio := range []string{"1.1", "-0.1", "NaN", "half"} {
		changed := complete()
		changed["OTEL_TRACES_EXPORTER"], changed["OTEL_TRACES_SAMPLER"], changed["OTEL_TRACES_SAMPLER_ARG"] = "otlp", "traceidratio", ratio
		if _, err := config.Load(source(changed)); err == nil || !strings.Contains(err.Error(), "OTEL_TRACES_SAMPLER_ARG") {
			t.Errorf("ratio %s: error %v", ratio, err)
		}
	}
}
