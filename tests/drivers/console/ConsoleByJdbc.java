// pgjdbc at the console: named statements from the first on, rows in parts, transactions.

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

public final class ConsoleByJdbc {
    static void expect(boolean truth, String what) {
        if (!truth) {
            throw new AssertionError(what);
        }
    }

    static void readAll(ResultSet rows) throws SQLException {
        int columns = rows.getMetaData().getColumnCount();
        while (rows.next()) {
            for (int at = 1; at <= columns; at++) {
                rows.getObject(at);
            }
        }
    }

    static void show(Connection conn, String command) throws SQLException {
        try (Statement statement = conn.createStatement()) {
            readAll(statement.executeQuery(command));
        }
        try (PreparedStatement statement = conn.prepareStatement(command)) {
            readAll(statement.executeQuery());
            readAll(statement.executeQuery());
        }
    }

    static void stats(Connection conn, long queries) throws SQLException {
        try (PreparedStatement statement = conn.prepareStatement("show stats")) {
            ResultSet rows = statement.executeQuery();
            boolean found = false;
            while (rows.next()) {
                if (rows.getString("database").equals("postgres")) {
                    found = rows.getLong("total_query_count") == queries;
                }
            }
            expect(found, "total_query_count");
        }
    }

    public static void main(String[] arguments) throws SQLException {
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/console";
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        properties.setProperty("prepareThreshold", "1");
        properties.setProperty("sslmode", "disable");
        try (Connection conn = DriverManager.getConnection(url, properties)) {
            for (int at = 1; at < arguments.length; at++) {
                show(conn, arguments[at]);
            }
            stats(conn, Long.parseLong(arguments[0]));
            conn.setAutoCommit(false);
            try (Statement statement = conn.createStatement()) {
                statement.setFetchSize(4);
                readAll(statement.executeQuery("show lists"));
            }
            try (Statement statement = conn.createStatement()) {
                statement.executeQuery("show nonsense");
                throw new AssertionError("nonsense was understood");
            } catch (SQLException error) {
                expect(error.getSQLState().equals("42601"), error.getSQLState());
            }
            conn.rollback();
            conn.setAutoCommit(true);
            try (Statement statement = conn.createStatement()) {
                statement.execute("pause");
                ResultSet rows = statement.executeQuery("show is_paused");
                expect(rows.next() && rows.getBoolean(1), "it is paused");
                statement.execute("resume");
            }
            expect(conn.isValid(5), "it lives");
        }
        System.out.println("ok");
    }
}
