package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"kindred/internal/config"
	"kindred/internal/httpapi"
)

// tracing makes a span of each request and of its statements. Nil is no tracing: its methods then add nothing
// at all, so that what is off costs nothing.
type tracing struct {
	provider *sdktrace.TracerProvider
	trusted  []netip.Prefix // whose traces are continued
}

// newTracing is nil where the settings ask for no traces. It sends nothing yet, and needs nobody to be there.
func newTracing(cfg config.Traces, trusted []netip.Prefix, log *slog.Logger) (*tracing, error) {
	if cfg.Endpoint == "" {
		return nil, nil
	}
	ctx := context.Background()
	exporter, err := otlptrace.New(ctx, newOTLP(cfg))
	if err != nil {
		return nil, fmt.Errorf("prepare export of traces: %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "kindred"), attribute.String("service.version", version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, errors.New("OTEL_RESOURCE_ATTRIBUTES must be name=value, separated by commas, values percent-encoded")
	}
	sampler := sdktrace.TraceIDRatioBased(cfg.Sampler.Ratio)
	if cfg.Sampler.ParentBased {
		sampler = sdktrace.ParentBased(sampler)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithSampler(sampler),
		sdktrace.WithBatcher(&strictExporter{SpanExporter: exporter, log: log}))
	return &tracing{provider, trusted}, nil
}

// end sends what is left, and waits a moment for it. Whatever comes afterwards is dropped.
func (t *tracing) end() {
	const patience = 2 * time.Second
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // the exporter has told of its errors
}

// around makes a span of each request.
func (t *tracing) around(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return otelhttp.NewHandler(next, "request",
		otelhttp.WithTracerProvider(t.provider), otelhttp.WithMeterProvider(metricnoop.NewMeterProvider()),
		otelhttp.WithPropagators(parentOnly{}), otelhttp.WithPublicEndpointFn(t.isStranger),
		otelhttp.WithSpanNameFormatter(func(operation string, _ *http.Request) string { return operation }))
}

// isStranger tells whose traceparent is not continued, but linked: whoever could hang a request onto a trace
// of their choice would decide what is sampled, and mix their requests into other people's traces.
func (t *tracing) isStranger(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err != nil || !slices.ContainsFunc(t.trusted, func(p netip.Prefix) bool { return p.Contains(peer.Addr().Unmap()) })
}

// parentOnly reads traceparent (W3C Trace Context §3.2) and none of the rest, which carries text of the caller's.
type parentOnly struct{ propagation.TraceContext }

func (p parentOnly) Extract(ctx context.Context, from propagation.TextMapCarrier) context.Context {
	const header = "traceparent"
	return p.TraceContext.Extract(ctx, propagation.MapCarrier{header: from.Get(header)})
}

// statements makes spans of the statements within a request's.
func (t *tracing) statements() pgx.QueryTracer {
	if t == nil {
		return nil
	}
	return otelpgx.NewTracer(otelpgx.WithTracerProvider(t.provider), otelpgx.WithMeterProvider(metricnoop.NewMeterProvider()),
		otelpgx.WithDisableConnectionDetailsInAttributes())
}

// observing adds to those who are told of each request.
func (t *tracing) observing(others ...httpapi.Observer) []httpapi.Observer {
	if t == nil {
		return others
	}
	return append(others, t)
}

// Observed names the span of a request by its route.
func (*tracing) Observed(ctx context.Context, route string, _ int, _ time.Duration) {
	trace.SpanFromContext(ctx).SetAttributes(attribute.String(routeAttribute, route))
}

// logging adds the trace's id to lines of the log.
func (t *tracing) logging(log *slog.Logger) *slog.Logger {
	if t == nil {
		return log
	}
	return slog.New(tracedLog{log.Handler()})
}

type tracedLog struct{ slog.Handler }

func (h tracedLog) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h tracedLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return tracedLog{h.Handler.WithAttrs(attrs)}
}
func (h tracedLog) WithGroup(name string) slog.Handler { return tracedLog{h.Handler.WithGroup(name)} }
