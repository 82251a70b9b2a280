package config

import (
	"net"
	"strconv"
)

func (r *reader) opsAddress() string {
	value := r.values[opsAddr]
	if value != "" {
		r.checkListen(opsAddr, value)
	}
	return value
}

func (r *reader) checkListen(name, value string) {
	_, portText, err := net.SplitHostPort(value)
	n, portErr := strconv.Atoi(portText)
	if err != nil || portErr != nil || n < 0 || n > 65535 {
		r.problem(name, "must be host:port or :port")
	}
}
