package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/mattn/go-sqlite3"
)

// busyTimeout is how long a connection waits for another process, in milliseconds.
// Our own transactions take milliseconds; only a stranger's takes longer.
const busyTimeout = 60_000

// writerPragmas set up the connection that writes. FULL costs little because commits
// come in groups; the page size holds only for a file that has no pages yet.
var writerPragmas = []string{
	fmt.Sprintf("PRAGMA busy_timeout = %d", busyTimeout),
	"PRAGMA page_size = 8192",
	"PRAGMA journal_mode = WAL",
	"PRAGMA synchronous = FULL",
	"PRAGMA foreign_keys = ON",
	"PRAGMA temp_store = MEMORY",
	"PRAGMA cache_size = -16000",           // KiB
	"PRAGMA journal_size_limit = 67108864", // bytes that the log keeps after a checkpoint
	"PRAGMA wal_autocheckpoint = 4000",     // pages
}

var readerPragmas = []string{
	fmt.Sprintf("PRAGMA busy_timeout = %d", busyTimeout),
	"PRAGMA query_only = ON",
	"PRAGMA temp_store = MEMORY",
	"PRAGMA cache_size = -2000", // for each of the connections; the system's cache is behind it
}

func databasePath(dir string) string { return filepath.Join(dir, "store.db") }

// connector opens connections that are all set up alike, without a driver name
// for the whole program.
type connector struct {
	driver *sqlite3.SQLiteDriver
	dsn    string
}

// Connect implements driver.Connector.
func (c connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }

// Driver implements driver.Connector.
func (c connector) Driver() driver.Driver { return c.driver }

// newConnector connects to the file of dir with an SQLite URI; setup runs on every
// new connection after its pragmas.
func newConnector(dir, options string, pragmas []string, setup func(*sqlite3.SQLiteConn) error) (connector, error) {
	path, err := filepath.Abs(databasePath(dir))
	if err != nil {
		return connector{}, fmt.Errorf("store: %w", err)
	}
	hook := func(c *sqlite3.SQLiteConn) error {
		for _, p := range pragmas {
			if _, err := c.Exec(p, nil); err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
		}
		return setup(c)
	}
	dsn := (&url.URL{Scheme: "file", Path: path, RawQuery: options}).String()
	return connector{&sqlite3.SQLiteDriver{ConnectHook: hook}, dsn}, nil
}

// openReaders returns the pool that every reading method uses.
func openReaders(dir string) (*sql.DB, error) {
	c, err := newConnector(dir, readOptions(dir)+"&_stmt_cache_size=32", readerPragmas, registerFunctions)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	return db, nil
}

// readOptions opens without the right to write. A file in a directory that we may not
// write, and without a log, cannot change through us nor need recovery: it is opened
// as immutable, because the shared memory of WAL could not be made.
func readOptions(dir string) string {
	const accessWrite = 2 // W_OK of access(2)
	_, err := os.Stat(databasePath(dir) + "-wal")
	if errors.Is(err, fs.ErrNotExist) && syscall.Access(dir, accessWrite) != nil {
		return "mode=ro&immutable=1"
	}
	return "mode=ro"
}

// conn is the connection that writes, with its prepared statements. It is
// for one goroutine.
type conn struct {
	db    *sql.DB
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

// openForWriting opens the connection that writes and makes the file if need be.
func openForWriting(dir string) (*conn, error) {
	c, err := newConnector(dir, "mode=rwc", writerPragmas, registerFunctions)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(1)
	one, err := db.Conn(context.Background())
	if err != nil {
		db.Close()
		return nil, explain(dir, err)
	}
	return &conn{db: db, conn: one, stmts: map[string]*sql.Stmt{}}, nil
}

// exec runs one statement, prepared once.
func (c *conn) exec(query string, args ...any) (sql.Result, error) {
	st, err := c.prepare(query)
	if err != nil {
		return nil, err
	}
	return st.Exec(args...)
}

// query runs one statement that gives rows, prepared once.
func (c *conn) query(query string, args ...any) (*sql.Rows, error) {
	st, err := c.prepare(query)
	if err != nil {
		return nil, err
	}
	return st.Query(args...)
}

// get runs one statement and scans its only row; sql.ErrNoRows if there is none.
func (c *conn) get(dest []any, query string, args ...any) error {
	st, err := c.prepare(query)
	if err != nil {
		return err
	}
	return st.QueryRow(args...).Scan(dest...)
}

func (c *conn) prepare(query string) (*sql.Stmt, error) {
	if st := c.stmts[query]; st != nil {
		return st, nil
	}
	st, err := c.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	c.stmts[query] = st
	return st, nil
}

// script runs statements that are not worth preparing.
func (c *conn) script(text string) error {
	_, err := c.conn.ExecContext(context.Background(), text)
	return err
}

// rollback ends the transaction, if SQLite has not ended it itself.
func (c *conn) rollback() { _ = c.script("ROLLBACK") }

func (c *conn) close() error {
	for _, st := range c.stmts {
		st.Close()
	}
	return errors.Join(c.conn.Close(), c.db.Close())
}
