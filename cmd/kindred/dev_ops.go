package main

import (
	"context"
	"net"

	"kindred/internal/config"
)

const devOpsAddr = "127.0.0.1:9464"

// devOps does without metrics where somebody else listens there already, a second dev most likely: it then
// says so.
func devOps(ctx context.Context, cfg config.Config, say func(string)) config.Config {
	if cfg.OpsAddr == "" {
		return cfg
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.OpsAddr)
	if err != nil {
		say("no metrics and profiles, since OPS_ADDR cannot be listened on: " + err.Error())
		cfg.OpsAddr = ""
		return cfg
	}
	_ = listener.Close()
	return cfg
}
