package store

import (
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// idPlan sends an id as the 16 bytes that it is. By itself pgx goes by the id's database/sql method:
// it has text made of each id, tries to send that, makes an error and drops it, and reads the text.
type idPlan struct{ next pgtype.EncodePlan }

func planID(value any) (pgtype.WrappedEncodePlanNextSetter, any, bool) {
	id, ok := value.(uuid.UUID)
	return &idPlan{}, bytesOf(id), ok
}

func (p *idPlan) SetNext(next pgtype.EncodePlan) { p.next = next }

func (p *idPlan) Encode(value any, buf []byte) ([]byte, error) {
	return p.next.Encode(bytesOf(value.(uuid.UUID)), buf)
}

func bytesOf(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: true} }
