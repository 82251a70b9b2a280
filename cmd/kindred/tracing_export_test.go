package main

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// PostgreSQL's errors quote values, and libraries put what they like into a span.
func TestTracing_OnlyWhatIsListedLeaves(t *testing.T) {
	t.Parallel()
	const secret = "krt_secret"
	sent := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(&strictExporter{SpanExporter: sent, log: slog.New(slog.DiscardHandler)}))
	_, span := provider.Tracer("test").Start(t.Context(), "request")
	span.SetAttributes(attribute.String("url.path", secret), attribute.String("http.request.method_original", secret), attribute.Int("pgx.rows_affected", 1),
		attribute.String("http.request.method", "GET"), attribute.String("http.route", "/token"))
	span.RecordError(errors.New(secret))
	span.SetStatus(codes.Error, secret)
	span.End()
	stubs := sent.GetSpans()
	if len(stubs) != 1 || stubs[0].Name != "GET /token" || stubs[0].Status != (sdktrace.Status{Code: codes.Error}) ||
		fmt.Sprint(stubs[0].Attributes) != fmt.Sprint([]attribute.KeyValue{
			attribute.Int("pgx.rows_affected", 1), attribute.String("http.request.method", "GET"), attribute.String("http.route", "/token"),
		}) || len(stubs[0].Events) != 0 {
		t.Errorf("sent %+v", stubs)
	}
}
