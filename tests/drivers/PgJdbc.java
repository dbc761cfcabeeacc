// pgjdbc with prepareThreshold=1: every PreparedStatement is a named one from its first execution.
//
// Special: names are S_1, S_2 … of the connection, BEGIN, COMMIT and SAVEPOINT among them, so the same name
// means another text on each connection; BEGIN and the first query share one Sync; with autosave a simple query
// SAVEPOINT stands between them, inside of the batch, and no Sync before it; a batch is many Binds and Executes
// before one Sync, in parts when the answers could fill the socket; portals C_N are read by Execute with a
// limit; what failed, what the garbage collector finds, or what the cache drops, is closed in front of the next
// query; `cached plan must not change result type` outside of a transaction is tried once more; large objects
// are FunctionCall; a connection begins with SET by Parse, Bind, Execute; it asks for TLS first.

import java.io.StringReader;
import java.io.StringWriter;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;

public final class PgJdbc {
    static final int CLIENTS = 16;
    static final int TEXTS = 7;

    interface Step {
        void run() throws Exception;
    }

    static Connection connect(String... options) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        properties.setProperty("password", System.getenv().getOrDefault("PGPASSWORD", ""));
        properties.setProperty("prepareThreshold", "1");
        properties.setProperty("socketTimeout", "20");
        for (int i = 0; i < options.length; i += 2) {
            properties.setProperty(options[i], options[i + 1]);
        }
        String host = System.getenv("PGHOST") + ":" + System.getenv("PGPORT");
        String url = "jdbc:postgresql://" + host + "/" + System.getenv("PGDATABASE");
        return DriverManager.getConnection(url, properties);
    }

    static void same(Object got, Object want) {
        if (!want.equals(got)) {
            throw new AssertionError("got " + got + ", want " + want);
        }
    }

    static void refused(String state, Step step) throws Exception {
        try {
            step.run();
        } catch (SQLException error) {
            if (error instanceof BatchUpdateException && error.getNextException() != null) {
                error = error.getNextException();
            }
            if (!state.equals(error.getSQLState())) {
                throw error;
            }
            return;
        }
        throw new AssertionError("no " + state);
    }

    static void execute(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    static String value(Connection connection, String sql) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            ResultSet rows = statement.executeQuery();
            rows.next();
            return rows.getString(1);
        }
    }

    /** A statement which no other number has, so that an answer tells which one ran. */
    static String text(int number) {
        return "select " + number + " * 1000 + ?::int";
    }

    static void ask(Connection connection, int number, int value) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(text(number))) {
            ask(statement, number, value);
        }
    }

    static void ask(PreparedStatement statement, int number, int value) throws SQLException {
        statement.setInt(1, value);
        ResultSet rows = statement.executeQuery();
        rows.next();
        same(rows.getInt(1), number * 1000 + value);
    }

    static void queries(Connection connection) throws Exception {
        PreparedStatement types = connection.prepareStatement("select ? + 1, ?::text, ?::bytea, ?::float8");
        PreparedStatement broken = connection.prepareStatement("select 1 / ?::int");
        for (int turn = 0; turn < 4; turn++) {
            types.setInt(1, turn);
            types.setString(2, "hé");
            types.setBytes(3, new byte[] {0, 1});
            types.setDouble(4, 0.1);
            ResultSet rows = types.executeQuery();
            rows.next();
            same(rows.getInt(1), turn + 1);
            same(rows.getString(2), "hé");
            same(rows.getBytes(3).length, 2);
            same(rows.getDouble(4), 0.1);
            broken.setInt(1, 0);
            refused("22012", broken::executeQuery);
            broken.setInt(1, 1);
            broken.executeQuery();
            refused("42601", () -> connection.prepareStatement("selec").execute());
            refused("42703", () -> connection.prepareStatement("select no").execute());
        }
        Statement several = connection.createStatement();
        same(several.execute("select 1; select 2"), true);
        same(several.getMoreResults(), true);
    }

    static void transactions(Connection connection) throws Exception {
        connection.setAutoCommit(false);
        for (int turn = 0; turn < 4; turn++) {
            execute(connection, "create temp table t (i int) on commit drop");
            ask(connection, turn, turn);
            Savepoint savepoint = connection.setSavepoint();
            refused("22012", () -> value(connection, "select 1 / 0"));
            refused("25P02", () -> ask(connection, 1, 1));
            connection.rollback(savepoint);
            ask(connection, turn, turn);
            if (turn % 2 == 0) {
                connection.commit();
            } else {
                connection.rollback();
            }
        }
        connection.setAutoCommit(true);
    }

    static void batches(Connection connection) throws Exception {
        execute(connection, "drop table if exists pgjdbc_b");
        execute(connection, "create table pgjdbc_b (i serial, n int not null, v text)");
        String wide = "x".repeat(500);
        for (boolean auto : new boolean[] {true, false}) {
            connection.setAutoCommit(auto);
            String insert = "insert into pgjdbc_b (n, v) values (?, ?)";
            PreparedStatement statement =
                connection.prepareStatement(insert, Statement.RETURN_GENERATED_KEYS);
            for (int turn = 0; turn < 3; turn++) {
                for (int i = 0; i < 1000; i++) {
                    statement.setInt(1, i);
                    statement.setString(2, wide);
                    statement.addBatch();
                }
                same(statement.executeBatch().length, 1000);
                ResultSet keys = statement.getGeneratedKeys();
                for (int i = 0; i < 1000; i++) {
                    same(keys.next(), true);
                }
                commit(connection);
                for (int i = 0; i < 300; i++) {
                    statement.setObject(1, i == 150 ? null : i, java.sql.Types.INTEGER);
                    statement.setString(2, "bad");
                    statement.addBatch();
                }
                refused("23502", statement::executeBatch);
                statement.clearBatch();
                rollback(connection);
            }
            Statement mixed = connection.createStatement();
            mixed.addBatch("update pgjdbc_b set v = 'y' where n < 10");
            mixed.addBatch("delete from pgjdbc_b where n >= 10");
            same(mixed.executeBatch()[0] > 0, true);
            rollback(connection);
        }
        connection.setAutoCommit(true);
    }

    static void commit(Connection connection) throws SQLException {
        if (!connection.getAutoCommit()) {
            connection.commit();
        }
    }

    static void rollback(Connection connection) throws SQLException {
        if (!connection.getAutoCommit()) {
            connection.rollback();
        }
    }

    static void portals(Connection connection) throws Exception {
        connection.setAutoCommit(false);
        for (int turn = 0; turn < 3; turn++) {
            PreparedStatement series = connection.prepareStatement("select generate_series(1, ?::int)");
            series.setFetchSize(10);
            series.setInt(1, 45 + turn);
            ResultSet rows = series.executeQuery();
            int seen = 0;
            while (rows.next()) {
                same(rows.getInt(1), ++seen);
                ask(connection, seen % TEXTS, seen);
            }
            same(seen, 45 + turn);
            series.executeQuery().next();
            series.close();
            connection.commit();
        }
        connection.setAutoCommit(true);
    }

    static void copies(Connection connection) throws Exception {
        CopyManager copy = connection.unwrap(PGConnection.class).getCopyAPI();
        execute(connection, "drop table if exists pgjdbc_c");
        execute(connection, "create table pgjdbc_c (i int)");
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < 10000; i++) {
            lines.append(i).append('\n');
        }
        same(copy.copyIn("copy pgjdbc_c from stdin", new StringReader(lines.toString())), 10000L);
        StringWriter out = new StringWriter();
        same(copy.copyOut("copy pgjdbc_c to stdout", out), 10000L);
        same(out.toString().length(), lines.length());
        refused("22P02", () -> copy.copyIn("copy pgjdbc_c from stdin", new StringReader("no\n")));
    }

    /** Each call of the large object API is a FunctionCall. */
    static void largeObjects(Connection connection) throws Exception {
        connection.setAutoCommit(false);
        LargeObjectManager manager = connection.unwrap(PGConnection.class).getLargeObjectAPI();
        long id = manager.createLO();
        LargeObject object = manager.open(id, LargeObjectManager.READWRITE);
        object.write(new byte[100000]);
        object.seek(0);
        same(object.read(100000).length, 100000);
        object.close();
        manager.delete(id);
        connection.commit();
        connection.setAutoCommit(true);
    }

    static void timeouts(Connection connection) throws Exception {
        Statement statement = connection.createStatement();
        statement.setQueryTimeout(1);
        refused("57014", () -> statement.execute("select pg_sleep(60)"));
        ask(connection, 1, 1);
    }

    static void schemaChanges(Connection connection) throws Exception {
        execute(connection, "drop table if exists pgjdbc_t");
        execute(connection, "create table pgjdbc_t (i int)");
        execute(connection, "insert into pgjdbc_t values (1)");
        try (Connection other = connect(); Connection saving = connect("autosave", "conservative")) {
            saving.setAutoCommit(false);
            for (int column = 0; column < 3; column++) {
                for (int turn = 0; turn < 2; turn++) {
                    same(columns(connection), column + 1);
                    same(columns(other), column + 1);
                    same(columns(saving), column + 1);
                    saving.commit();
                }
                execute(connection, "alter table pgjdbc_t add column c" + column + " text");
            }
            same(columns(connection), 4);
            same(columns(other), 4);
            ask(saving, 1, 1);
            same(columns(saving), 4);
            saving.commit();
        }
    }

    static int columns(Connection connection) throws SQLException {
        try (PreparedStatement all = connection.prepareStatement("select * from pgjdbc_t")) {
            return all.executeQuery().getMetaData().getColumnCount();
        }
    }

    /** Each use of a third statement closes one of the two that are cached. */
    static void smallCache() throws Exception {
        try (Connection connection = connect("preparedStatementCacheQueries", "2")) {
            for (int turn = 0; turn < 4; turn++) {
                for (int number = 0; number < TEXTS; number++) {
                    ask(connection, number, turn);
                    ask(connection, number, turn + 1);
                }
            }
        }
        try (Connection connection = connect("preferQueryMode", "extendedCacheEverything")) {
            for (int turn = 0; turn < 4; turn++) {
                execute(connection, "select " + turn % 2);
                ask(connection, turn, turn);
                execute(connection, "deallocate all");
            }
        }
    }

    /** SET SESSION CHARACTERISTICS, search_path, application_name, TimeZone: each client has its own. */
    static void settings(Connection connection, int number) throws Exception {
        int[] levels = {Connection.TRANSACTION_READ_COMMITTED, Connection.TRANSACTION_SERIALIZABLE,
            Connection.TRANSACTION_REPEATABLE_READ};
        int level = levels[number % levels.length];
        connection.setTransactionIsolation(level);
        connection.setSchema("pgjdbc_" + number);
        connection.setClientInfo("ApplicationName", "client " + number);
        execute(connection, "set my.tenant = 'tenant " + number + "'");
        for (int turn = 0; turn < 5; turn++) {
            same(connection.getTransactionIsolation(), level);
            same(value(connection, "show search_path"), "pgjdbc_" + number);
            same(value(connection, "show application_name"), "client " + number);
            same(value(connection, "show extra_float_digits"), "3");
            String tenant = "select current_setting('my.tenant')";
            same(value(connection, tenant), "tenant " + number);
        }
    }

    static void oneOfMany(int number, CyclicBarrier start) throws Exception {
        try (Connection connection = connect()) {
            start.await(30, TimeUnit.SECONDS);
            List<PreparedStatement> held = new ArrayList<>();
            for (int at = 0; at < TEXTS; at++) {
                held.add(connection.prepareStatement(text((number + at) % TEXTS)));
            }
            for (int turn = 0; turn < 20; turn++) {
                for (int at = 0; at < TEXTS; at++) {
                    ask(held.get(at), (number + at) % TEXTS, turn);
                }
                connection.setAutoCommit(false);
                ask(connection, (number + turn) % TEXTS, turn);
                batch(connection, number, turn);
                connection.setAutoCommit(true);
            }
            settings(connection, number);
            settings(connection, number + 1);
        }
    }

    static void batch(Connection connection, int number, int turn) throws SQLException {
        String insert = "insert into pgjdbc_m values (" + number + ", ?)";
        PreparedStatement statement = connection.prepareStatement(insert);
        for (int i = 0; i < 20; i++) {
            statement.setInt(1, i);
            statement.addBatch();
        }
        same(statement.executeBatch().length, 20);
        String mine = "select count(*) from pgjdbc_m where client = " + number;
        same(value(connection, mine), Integer.toString(20 * (turn / 2 + 1)));
        if (turn % 2 == 0) {
            connection.rollback();
        } else {
            connection.commit();
        }
        statement.close();
    }

    static void many() throws Exception {
        try (Connection connection = connect()) {
            execute(connection, "drop table if exists pgjdbc_m");
            execute(connection, "create table pgjdbc_m (client int, i int)");
        }
        ExecutorService threads = Executors.newFixedThreadPool(CLIENTS);
        CyclicBarrier start = new CyclicBarrier(CLIENTS);
        List<Future<?>> all = new ArrayList<>();
        for (int i = 0; i < CLIENTS; i++) {
            int number = i;
            all.add(threads.submit(() -> {
                oneOfMany(number, start);
                return null;
            }));
        }
        for (Future<?> one : all) {
            one.get(60, TimeUnit.SECONDS);
        }
        threads.shutdownNow();
    }

    static void step(String name, Step step) throws Exception {
        step.run();
        System.out.println(name);
    }

    public static void main(String[] arguments) {
        try (Connection connection = connect()) {
            step("queries", () -> queries(connection));
            step("transactions", () -> transactions(connection));
            step("batches", () -> batches(connection));
            step("portals", () -> portals(connection));
            step("copies", () -> copies(connection));
            step("largeObjects", () -> largeObjects(connection));
            step("timeouts", () -> timeouts(connection));
            step("schemaChanges", () -> schemaChanges(connection));
            step("smallCache", PgJdbc::smallCache);
            connection.close();
            step("many", PgJdbc::many);
            System.out.println("ok");
            System.exit(0);
        } catch (Throwable error) {
            error.printStackTrace();
            System.exit(1);
        }
    }
}
