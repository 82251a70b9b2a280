package password

// Load is how busy the gate before the hashes is.
type Load struct {
	Slots   int   // hashes at once, at most
	Hashing int   // under way
	Waiting int   // for a slot
	Refused int64 // with ErrBusy since the start
}

// Load tells how busy the hasher is.
func (h *Hasher) Load() Load {
	g := h.gate
	return Load{Slots: cap(g.slots), Hashing: len(g.slots), Waiting: int(max(g.waiting.Load(), 0)), Refused: g.refused.Load()}
}
