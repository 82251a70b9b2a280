package password

// Work is how many argon2id hashes were computed so far. That refusals cost the same is asserted by it, and
// not by a clock.
func (h *Hasher) Work() int64 { return h.work.Load() }

func (h *Hasher) count(derive func(string, Params, []byte, int) []byte) func(string, Params, []byte, int) []byte {
	return func(password string, params Params, salt []byte, length int) []byte {
		h.work.Add(1)
		return derive(password, params, salt, length)
	}
}
