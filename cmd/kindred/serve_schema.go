package main

import (
	"context"
	"errors"

	"kindred/internal/store"
)

// tellSchema says in the log why this replica does not work on the schema and which command helps, once for each
// reason. It returns what was told last.
func (s *server) tellSchema(ctx context.Context, told string) string {
	err := s.store.CheckReady(ctx)
	var schema *store.SchemaError
	if !errors.As(err, &schema) {
		return ""
	}
	if reason := schema.Error(); reason != told {
		s.log.Warn("not ready", "reason", reason)
		return reason
	}
	return told
}
