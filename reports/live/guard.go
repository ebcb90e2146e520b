package live

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// NewToken returns a token that nobody guesses.
func NewToken() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// policy is the content security policy of every answer.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guard lets in whom the server is for. A page of a stranger reaches servers on this
// machine in three ways: by a name of its own that leads here (DNS rebinding), which the
// Host header gives away; by requests that a browser sends for it, which CrossOriginProtection
// refuses where they could change something; and by showing our page in a frame.
func (s *Server) guard(next http.Handler) http.Handler {
	next = s.known(http.NewCrossOriginProtection().Handler(next))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if !s.isOurs(r.Host) {
			http.Error(w, "starbook serves "+r.Host+" under no such name: use localhost, an address, or --host", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isOurs reports whether host, as a browser sent it, is a name that we answer to: an
// address cannot be rebound.
func (s *Server) isOurs(host string) bool {
	name := host
	if n, _, err := net.SplitHostPort(host); err == nil {
		name = n
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name == "localhost" || slices.Contains(s.Hosts, name)
}

// cookie holds the token once it was in the address. Cookies do not know of ports; two
// servers of one machine ask again in turn.
const cookie = "starbook"

// known asks for the token: in the cookie, or once in the address, from where it goes
// into the cookie and out of sight.
func (s *Server) known(next http.Handler) http.Handler {
	if s.Token == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie(cookie); err == nil && s.isToken(c.Value) {
			next.ServeHTTP(w, r)
			return
		}
		if r.Method != http.MethodGet || !s.isToken(r.URL.Query().Get("token")) {
			http.Error(w, "open the address that starbook serve printed: it holds the token", http.StatusUnauthorized)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: cookie, Value: s.Token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
		q := r.URL.Query()
		q.Del("token")
		r.URL.RawQuery = q.Encode()
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, r.URL.RequestURI(), http.StatusSeeOther)
	})
}

func (s *Server) isToken(word string) bool {
	return subtle.ConstantTimeCompare([]byte(word), []byte(s.Token)) == 1
}
