package family

import "strings"

// Agent is the user agent in little room: of browsers the product and the system out of what they say of
// themselves, of anything else the beginning. People read it; nothing is decided by it.
func (p Party) Agent() string {
	const most = 40
	if p.UserAgent == "" {
		return "unknown user agent"
	}
	if short := browser(p.UserAgent); short != "" {
		return short
	}
	if runes := []rune(p.UserAgent); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return p.UserAgent
}

func browser(agent string) string {
	if !strings.HasPrefix(agent, "Mozilla/") {
		return ""
	}
	// In this order: each of them says it were one of those behind it as well.
	for _, product := range []struct{ mark, name string }{
		{"Edg", "Edge"}, {"OPR", "Opera"}, {"Firefox", "Firefox"}, {"FxiOS", "Firefox"},
		{"CriOS", "Chrome"}, {"Chrome", "Chrome"}, {"Version", "Safari"},
	} {
		_, rest, found := strings.Cut(agent, " "+product.mark+"/")
		if !found {
			continue
		}
		version, _, _ := strings.Cut(rest, ".")
		version, _, _ = strings.Cut(version, " ")
		return product.name + " " + version + system(agent)
	}
	return ""
}

func system(agent string) string {
	for _, system := range []struct{ mark, name string }{
		{"Android", "Android"}, {"iPhone", "iOS"}, {"iPad", "iPadOS"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"},
	} {
		if strings.Contains(agent, system.mark) {
			return " on " + system.name
		}
	}
	return ""
}
