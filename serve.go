package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"starbook/reports/live"
)

func (a *app) serveCmd() *cobra.Command {
	var addr string
	var hosts []string
	cmd := &cobra.Command{
		Use: "serve", Short: "Show runs in a browser, as they go on", Args: cobra.NoArgs,
		Long: "Serves pages that follow the store, whichever process writes to it: all runs, each with its notebook and curves, sweeps,\n" +
			"comparisons and logs, with a button to stop a run. /runs/@latest is always the run begun last.\n" +
			"On an address that other machines reach, a browser needs the token that is printed.",
		Example: "  starbook serve\n  starbook serve --addr 0.0.0.0:7777",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.serve(cmd.Context(), cmd.OutOrStdout(), addr, hosts)
		},
	}
	cmd.Flags().StringVar(&addr, "addr", "127.0.0.1:7777", "address to listen on; port 0: any that is free")
	cmd.Flags().StringSliceVar(&hosts, "host", nil, "a further name that browsers may call it by")
	return cmd
}

func (a *app) serve(ctx context.Context, out io.Writer, addr string, hosts []string) (err error) {
	st, err := a.open(false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("serve: %w: choose another with --addr", err)
	}
	s := &live.Server{Store: st, Hosts: hosts}
	where := "http://" + l.Addr().String() + "/"
	if at, err := netip.ParseAddrPort(l.Addr().String()); err != nil || !at.Addr().IsLoopback() {
		s.Token = live.NewToken()
		name, err := os.Hostname()
		if err != nil {
			name = "localhost"
		}
		s.Hosts = append(s.Hosts, strings.ToLower(name))
		if at.Addr().IsUnspecified() {
			where = fmt.Sprintf("http://%s:%d/", name, at.Port())
		}
		where += "?token=" + s.Token
	}
	fmt.Fprintln(out, where)
	return s.Serve(ctx, l)
}
