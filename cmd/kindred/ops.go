package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kindred/internal/metrics"
	"kindred/migrations"
)

func newMetrics() *metrics.Metrics {
	return metrics.New(metrics.Build{Version: version, Go: runtime.Version(), Schema: strconv.FormatInt(migrations.Latest(), 10)})
}

// serveOps serves metrics, profiles and health beside the API until stop is called, through the drain too: what
// goes on then is what somebody wants to see. Nothing asks who comes: the address is to be an inner one. With no
// address there is nothing to stop.
func (s *server) serveOps(ctx context.Context, address string) (stop func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("OPS_ADDR: listen: %w", err)
	}
	ops := &http.Server{
		Handler:           s.opsRoutes(),
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      2 * time.Minute, // of a profile: the longest that may be asked for
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.log.Info("ops listening", "address", listener.Addr().String())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := ops.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("OPS_ADDR is served no more", "error", err)
		}
	})
	return func() { _ = ops.Close(); serving.Wait() }, nil
}

func (s *server) opsRoutes() http.Handler {
	const scrapesAtOnce = 4
	routes, health := http.NewServeMux(), s.api.Health()
	routes.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.Gatherer(), promhttp.HandlerOpts{MaxRequestsInFlight: scrapesAtOnce}))
	routes.Handle("GET /livez", health)
	routes.Handle("GET /readyz", health)
	routes.HandleFunc("GET /debug/pprof/", pprof.Index)
	routes.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	routes.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	routes.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	routes.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	routes.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return routes
}
