package config

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Traces says where traces go and which. The zero value is nowhere. The variables and their meaning are
// OpenTelemetry's; those that are not here (of the resource, of the batches) its library reads by itself.
type Traces struct {
	Endpoint string            // URL of OTLP over HTTP, path and all; empty: traces are off
	Headers  map[string]Secret // of each export
	Timeout  time.Duration     // of each export
	Sampler  Sampler
}

// Sampler is OTEL_TRACES_SAMPLER, taken apart.
type Sampler struct {
	Ratio       float64 // of the traces that begin here
	ParentBased bool    // those that a caller began are as the caller has decided
}

const (
	tracesEndpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	ownEndpoint    = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	tracesExporter = "OTEL_TRACES_EXPORTER"
	tracesDisabled = "OTEL_SDK_DISABLED"
	tracesSampler  = "OTEL_TRACES_SAMPLER"
	samplerArg     = "OTEL_TRACES_SAMPLER_ARG"
)

// traces reads them. Traces are on where an endpoint is set, or the exporter.
func (r *reader) traces() Traces {
	exporter := r.choice(tracesExporter, "otlp", "otlp", "none")
	endpoint := r.traceEndpoint()
	if endpoint == "" && r.text(tracesExporter, "") != "" {
		endpoint = "http://localhost:4318/v1/traces" // the specification's default
	}
	if endpoint == "" || exporter == "none" || strings.EqualFold(r.text(tracesDisabled, ""), "true") {
		return Traces{}
	}
	for _, name := range []string{"PROTOCOL", "TRACES_PROTOCOL"} {
		if name = "OTEL_EXPORTER_OTLP_" + name; r.text(name, "http/protobuf") != "http/protobuf" {
			r.problem(name, "must be http/protobuf: this version speaks no other")
		}
	}
	for _, name := range []string{"COMPRESSION", "CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"} {
		for _, of := range []string{"", "TRACES_"} {
			if name := "OTEL_EXPORTER_OTLP_" + of + name; r.text(name, "none") != "none" {
				r.problem(name, "is not known to this version")
			}
		}
	}
	return Traces{Endpoint: endpoint, Headers: r.traceHeaders(), Timeout: r.traceTimeout(), Sampler: r.sampler()}
}

// traceEndpoint: the variable for traces alone is taken as it is, the one for everything gets a path.
func (r *reader) traceEndpoint() string {
	for _, from := range []struct{ name, path string }{{ownEndpoint, ""}, {tracesEndpoint, "/v1/traces"}} {
		value := r.text(from.name, "")
		if value == "" {
			continue
		}
		u, err := url.Parse(value)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			r.problem(from.name, "must be http(s)://host:port, with a path or without; credentials belong into OTEL_EXPORTER_OTLP_HEADERS")
			return ""
		}
		return strings.TrimSuffix(value, "/") + from.path
	}
	return ""
}

// traceHeaders reads name=value, separated by commas; values may be percent-encoded.
func (r *reader) traceHeaders() map[string]Secret {
	name := "OTEL_EXPORTER_OTLP_TRACES_HEADERS"
	if r.text(name, "") == "" {
		name = "OTEL_EXPORTER_OTLP_HEADERS"
	}
	headers := map[string]Secret{}
	for entry := range strings.SplitSeq(r.text(name, ""), ",") {
		if strings.TrimSpace(entry) == "" {
			continue
		}
		key, value, found := strings.Cut(entry, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if key = strings.TrimSpace(key); !found || key == "" || err != nil || strings.ContainsAny(key+value, "\r\n") {
			r.problem(name, "must be name=value, separated by commas, values percent-encoded")
			return nil
		}
		headers[key] = Secret{value}
	}
	return headers
}

// traceTimeout reads milliseconds, as the specification has them.
func (r *reader) traceTimeout() time.Duration {
	name := "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"
	if r.text(name, "") == "" {
		name = "OTEL_EXPORTER_OTLP_TIMEOUT"
	}
	return time.Duration(r.integer(name, 10_000, 1, 60_000)) * time.Millisecond
}

func (r *reader) sampler() Sampler {
	kind := r.choice(tracesSampler, "parentbased_always_on", "always_on", "always_off", "traceidratio",
		"parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio")
	kind, parentBased := strings.CutPrefix(kind, "parentbased_")
	sampler := Sampler{Ratio: 1, ParentBased: parentBased}
	switch kind {
	case "always_off":
		sampler.Ratio = 0
	case "traceidratio":
		ratio, err := strconv.ParseFloat(r.text(samplerArg, "1"), 64)
		if err != nil || !(0 <= ratio && ratio <= 1) {
			r.problem(samplerArg, "must be a number from 0 to 1")
			return sampler
		}
		sampler.Ratio = ratio
	}
	return sampler
}
