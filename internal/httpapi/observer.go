package httpapi

import (
	"context"
	"time"
)

// Observer is told of each request that ends. It must not block.
type Observer interface {
	// Observed gets the route's template, never a path, and the status, 0 where nothing was written.
	Observed(ctx context.Context, route string, status int, took time.Duration)
}

func (a *API) tellObservers(ctx context.Context, seen *observed, took time.Duration) {
	for _, o := range a.config.Observers {
		o.Observed(ctx, seen.route, seen.status, took)
	}
}
