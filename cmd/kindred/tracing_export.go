package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"kindred/internal/config"
)

const routeAttribute, methodAttribute = "http.route", "http.request.method"

// exported are the attributes that leave the process. The libraries that make spans know paths, queries, user
// agents and the texts of errors: people put tokens into the first, and PostgreSQL values into the last.
func exported(a attribute.KeyValue) bool {
	switch a.Key {
	case routeAttribute, methodAttribute, "http.response.status_code", "http.request.body.size", "http.response.body.size", "url.scheme",
		"network.protocol.name", "network.protocol.version", "error.type",
		"db.system.name", "db.query.text", "db.operation.name", "db.collection.name", "pgx.rows_affected", "pgx.sql_state":
		return true
	}
	return false
}

// strictExporter lets out what is known to be harmless, and says in the log once that it cannot, and once that
// it can again.
type strictExporter struct {
	sdktrace.SpanExporter
	log      *slog.Logger
	troubled bool // the processor exports one batch at a time
}

func (e *strictExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	strict := make([]sdktrace.ReadOnlySpan, len(spans))
	for i, span := range spans {
		strict[i] = strictSpan{span}
	}
	err := e.SpanExporter.ExportSpans(ctx, strict)
	switch {
	case err != nil && !e.troubled:
		e.log.Warn("traces are lost", "error", err)
	case err == nil && e.troubled:
		e.log.Info("traces are sent again")
	}
	e.troubled = err != nil
	return nil
}

// strictSpan is a span without what could give something away.
type strictSpan struct{ sdktrace.ReadOnlySpan }

// Name is the method and the route of a request, whose method is one of the known ones or _OTHER.
func (s strictSpan) Name() string {
	var method, route string
	for _, a := range s.ReadOnlySpan.Attributes() {
		switch a.Key {
		case methodAttribute:
			method = a.Value.AsString()
		case routeAttribute:
			route = a.Value.AsString()
		}
	}
	if route == "" {
		return s.ReadOnlySpan.Name()
	}
	return method + " " + route
}

func (s strictSpan) Attributes() []attribute.KeyValue {
	return slices.DeleteFunc(slices.Clone(s.ReadOnlySpan.Attributes()), func(a attribute.KeyValue) bool { return !exported(a) })
}

// Events would be errors with their texts.
func (strictSpan) Events() []sdktrace.Event { return nil }

func (s strictSpan) Status() sdktrace.Status {
	return sdktrace.Status{Code: s.ReadOnlySpan.Status().Code}
}

// otlp sends spans by OTLP over HTTP, in protobuf (OpenTelemetry protocol 1, §OTLP/HTTP). The library's own client
// would bring gRPC along, which is a tenth of the binary.
type otlp struct {
	config config.Traces
	client *http.Client
}

func newOTLP(cfg config.Traces) *otlp {
	return &otlp{config: cfg, client: &http.Client{
		Timeout: cfg.Timeout,
		// Headers with credentials go nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (o *otlp) Start(context.Context) error { return nil }

func (o *otlp) Stop(context.Context) error {
	o.client.CloseIdleConnections()
	return nil
}

// UploadTraces sends one batch, once: what a collector does not take is lost.
func (o *otlp) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// Written as an ExportTraceServiceRequest, which has the same one field.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("encode traces: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, o.config.Endpoint, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask the collector: %w", err)
	}
	for name, value := range o.config.Headers {
		request.Header.Set(name, value.Reveal())
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	response, err := o.client.Do(request)
	if err != nil {
		return fmt.Errorf("send traces: %w", err)
	}
	defer response.Body.Close()
	const most = 64 << 10 // read for the sake of the connection
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, most))
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("send traces: the collector answers %d", response.StatusCode)
	}
	return nil
}
