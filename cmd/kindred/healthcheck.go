package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"kindred/internal/config"
)

func newHealthcheck(p process) *cobra.Command {
	var live bool
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the server on this machine whether it is ready: for containers that have no other program",
		Long: "Asks /readyz, or with --live /livez, where LISTEN_ADDR or PORT say that the server listens, by HTTPS if\n" +
			"TLS_CERT_FILE is set, and waits for 2 s at most. Exit code 0 if it is, 1 if not. A supervisor that restarts what is not healthy should ask --live.",
		Args: cobra.NoArgs,
	}
	out := newPrinter(p, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		listener, err := config.LoadListener(p.settings())
		if err != nil {
			return err
		}
		path := "/readyz"
		if live {
			path = "/livez"
		}
		status, err := askHealth(cmd.Context(), listener, path)
		if err != nil {
			return err
		}
		return out.print(struct {
			Status string `json:"status"`
		}{status}, "%s\n", visibly(status))
	}
	cmd.Flags().BoolVar(&live, "live", false, "ask only whether it runs")
	return cmd
}

// askHealth returns what the server says of itself, and an error unless that is 200.
func askHealth(ctx context.Context, listener config.Listener, path string) (string, error) {
	const limit, mostBytes = 2 * time.Second, 16 << 10
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	address, ours := nearest(listener.Address)
	url := "http://" + address + path
	transport := &http.Transport{}
	if listener.CertFile != "" {
		url = "https://" + address + path
		// The certificate is for the name that clients use, which no address of this machine has. Nobody is between
		// us and those, and nothing secret is sent or believed.
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: ours, MinVersion: tls.VersionTLS12}
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", fmt.Errorf("ask %s: %w", path, err)
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return "", fmt.Errorf("ask the server: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, mostBytes))
	if err != nil {
		return "", fmt.Errorf("read the server's answer: %w", err)
	}
	var body struct{ Status, Detail, Title any }
	if err := json.Unmarshal(text, &body); err != nil || response.StatusCode != http.StatusOK {
		if detail, ok := body.Detail.(string); ok {
			return "", errors.New(visibly(detail))
		}
		return "", fmt.Errorf("the server answered %d", response.StatusCode)
	}
	return fmt.Sprint(body.Status), nil
}

// nearest is the address to reach a listener by from its own machine: one that listens everywhere is asked on
// loopback. It is ours unless it is a name, which may lead elsewhere: no other address can be listened on.
func nearest(address string) (reach string, ours bool) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address, false // checked with the settings
	}
	ip := net.ParseIP(host)
	switch {
	case host == "" || ip.Equal(net.IPv4zero):
		return net.JoinHostPort("127.0.0.1", port), true
	case ip.Equal(net.IPv6unspecified):
		return net.JoinHostPort("::1", port), true
	}
	return address, host == "localhost" || ip != nil
}
