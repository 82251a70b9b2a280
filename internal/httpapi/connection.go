package httpapi

import "net/http"

// lastOnItsConnection tells whether a request's connection ends with its answer.
//
// While the server drains each answer takes its connection along, so that the balancer's connections end
// between two requests: closed from this side when they lie idle, one could end under a request that is on
// its way.
//
// And no request is read behind one whose end two parsers may see in two places. Of Content-Length and
// Transfer-Encoding together net/http believes the latter, as RFC 9112 §6.1 permits, and of the latter in
// HTTP/1.0 nothing; it hides from handlers that there was more than one word. The same section demands that
// the connection is closed then, so that what a proxy took for a body is no request here. Clients lose
// little: ours are small bodies of known length.
func (a *API) lastOnItsConnection(r *http.Request) bool {
	return a.draining.Load() || len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1)
}
