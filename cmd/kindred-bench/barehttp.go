package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"

	"github.com/spf13/cobra"
)

// newBareHTTP makes the command that the bench starts itself with, so that the bare handler runs in a
// process of its own, as Kindred does: what net/http costs before any of our code runs.
func newBareHTTP() *cobra.Command {
	return &cobra.Command{
		Use:    "bare-http BODY",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := []byte(args[0])
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write(body) // whoever has hung up reads nothing
			})}
			context.AfterFunc(cmd.Context(), func() { _ = server.Close() })
			listener, err := new(net.ListenConfig).Listen(cmd.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				return fmt.Errorf("listen: %w", err)
			}
			slog.New(slog.NewJSONHandler(os.Stderr, nil)).Info("listening", "address", listener.Addr().String())
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve: %w", err)
			}
			return nil
		},
	}
}
