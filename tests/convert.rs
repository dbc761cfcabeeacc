//! Configurations of PgBouncer and PgDog, converted, checked and served: whoever got in gets in and
//! sees the same database as the same user; whoever did not does not.

use crate::support::pooler::binary;
use crate::support::postgres::PASSWORD;
use crate::support::process::{free_port, new_dir, run, write};
use crate::support::{Login, Papers, Pooler, Postgres};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const HBA: &str = "
local all all reject
host front app_scram 127.0.0.1/32 reject
host postgres app 127.0.0.1/32 trust
host postgres app_md5 10.0.0.0/8 trust
host all app_scram 127.0.0.0 255.0.0.0 scram-sha-256
hostssl all app all md5
host back,front app_md5 127.0.0.1/32 md5
";

/// A client of an ini file, and what it sees: the server's database and user, or a refusal.
struct Client {
    login: Login,
    sees: Option<(&'static str, &'static str)>,
}

fn sees(login: Login, database: &'static str, user: &'static str) -> Client {
    Client { login, sees: Some((database, user)) }
}

fn refused(login: Login) -> Client {
    Client { login, sees: None }
}

fn login(user: &str, database: &str, password: &str) -> Login {
    Login::new(user, database).password(password)
}

/// An ini file with its other files, in a directory of its own.
struct Ini {
    dir: PathBuf,
    port: u16,
    path: PathBuf,
}

impl Ini {
    fn new(text: &str, userlist: &str) -> Ini {
        let postgres = Postgres::shared();
        let (dir, port) = (new_dir("pooler-test-convert"), free_port());
        write(&dir, "userlist.txt", userlist);
        write(&dir, "hba.conf", HBA);
        write(&dir, "more.ini", "server_idle_timeout = 45\n");
        let text = text
            .replace("{PORT}", &port.to_string())
            .replace("{DIR}", &dir.display().to_string())
            .replace("{PAPERS}", &Papers::shared().dir.display().to_string())
            .replace("{PG_PORT}", &postgres.port.to_string())
            .replace("{PG_SOCKETS}", &postgres.socket_dir.display().to_string())
            .replace("{PASSWORD}", &PASSWORD.replace('\'', "''"));
        let path = write(&dir, "pgbouncer.ini", &text);
        Ini { dir, port, path }
    }

    /// The converted file, and what was said about it.
    fn converted(&self, name: &str) -> (PathBuf, String) {
        let output = self.dir.join(name);
        let (good, out, err) = run(binary().arg("convert").arg(&self.path).arg("-o").arg(&output));
        assert!(good && out.is_empty(), "{out}{err}");
        (output, err)
    }
}

/// In both languages the converted file passes the check, and serves these clients.
fn serves(text: &str, userlist: &str, clients: &[Client]) {
    for name in ["odyssey.conf", "odyssey.yaml"] {
        let ini = Ini::new(text, userlist);
        let (file, _) = ini.converted(name);
        let (good, out, err) = run(binary().arg("check").arg(&file));
        assert!(good, "{out}{err}");
        let pooler = Pooler::on(ini.dir, &file, ini.port);
        for Client { login, sees } in clients {
            let who = format!("{name}: {}@{}", login.user, login.database);
            match sees {
                Some((database, user)) => {
                    let mut client = pooler.login(login);
                    let sql = "select current_database() || ' ' || current_user";
                    assert_eq!(client.scalar(sql), format!("{database} {user}"), "{who}");
                }
                None => drop(pooler.refused(login)),
            }
        }
        pooler.stop();
    }
}

fn listed(user: &str, secret: &str) -> String {
    format!("\"{user}\" \"{}\"\n", secret.replace('"', "\"\""))
}

/// What the server keeps of a user's password.
fn kept_by_server(user: &str) -> String {
    let sql = format!("select rolpassword from pg_authid where rolname = '{user}'");
    Postgres::shared().admin().scalar(&sql)
}

#[test]
fn a_bit_of_everything_is_served_as_before() {
    let userlist = [listed("app", PASSWORD), listed("app_md5", PASSWORD)].concat();
    serves(
        include_str!("convert/sample.ini"),
        &userlist,
        &[
            sees(login("app", "postgres", PASSWORD), "postgres", "app"),
            sees(login("app_md5", "postgres", PASSWORD), "postgres", "app_md5"),
            sees(login("app_md5", "front", PASSWORD), "other", "app"),
            sees(login("app", "socketed", PASSWORD), "postgres", "app"),
            sees(login("app", "with blank", PASSWORD), "postgres", "app"),
            refused(login("app", "postgres", "wrong")),
            refused(login("nobody", "postgres", PASSWORD)),
            refused(login("app", "other", PASSWORD)),
        ],
    );
}

#[test]
fn many_tenants_are_served_as_before() {
    let tenants: String = (0..40).fold(String::new(), |mut text, number| {
        let forced = if number % 4 == 0 { " user=app" } else { "" };
        let _ = writeln!(
            text,
            "tenant_{number:02} = host=127.0.0.1 port={{PG_PORT}} dbname=postgres{forced}"
        );
        text
    });
    let text = include_str!("convert/many.ini").replace("{TENANTS}", &tenants);
    let users = ["app", "app_scram", "app_clear"];
    let userlist: String = users.iter().map(|user| listed(user, PASSWORD)).collect();
    let mut clients = Vec::new();
    for number in 0..40 {
        let (user, name) = (users[number % 3], format!("tenant_{number:02}"));
        let server = if number % 4 == 0 { "app" } else { user };
        clients.push(sees(login(user, &name, PASSWORD), "postgres", server));
    }
    clients.push(sees(login("app_scram", "reports", PASSWORD), "other", "app_scram"));
    clients.push(refused(login("app_scram", "tenant_01", "wrong")));
    clients.push(refused(login("app", "tenant_40", PASSWORD)));
    serves(&text, &userlist, &clients);
}

#[test]
fn hashes_and_verifiers_let_in_whom_they_let_in() {
    let mut admin = Postgres::shared().admin();
    // A verifier is no password at the server: this one is trusted there.
    let made = "set password_encryption = 'scram-sha-256';
                create role app_verified login password 'of the verifier'";
    assert_eq!(admin.query(made).error(), None);
    let userlist = [
        listed("app_md5", &kept_by_server("app_md5")),
        listed("app_verified", &kept_by_server("app_verified")),
        listed("app_clear", ""),
    ]
    .concat();
    serves(
        include_str!("convert/secure.ini"),
        &userlist,
        &[
            sees(login("app_md5", "postgres", PASSWORD), "postgres", "app_md5"),
            sees(login("app_verified", "postgres", "of the verifier"), "postgres", "app_verified"),
            sees(login("app_md5", "kept", PASSWORD), "other", "app_clear"),
            refused(login("app_md5", "postgres", "wrong")),
            refused(login("app_verified", "postgres", "wrong")),
            refused(login("app_clear", "postgres", "")),
        ],
    );
}

/// Seen the same in PgBouncer 1.18. A rule for each line that a user's name fits, and no order but
/// that of specificity, let `app_scram` into `front`.
#[test]
fn lines_of_an_hba_file_let_in_whom_they_let_in() {
    let users = ["app", "app_md5", "app_scram"];
    let userlist: String = users.iter().map(|user| listed(user, PASSWORD)).collect();
    serves(
        include_str!("convert/lines.ini"),
        &userlist,
        &[
            sees(Login::new("app", "postgres"), "postgres", "app"),
            sees(login("app_scram", "postgres", PASSWORD), "postgres", "app_scram"),
            sees(login("app_scram", "back", PASSWORD), "other", "app_scram"),
            sees(login("app_md5", "front", PASSWORD), "other", "app"),
            sees(login("app_md5", "back", PASSWORD), "other", "app_md5"),
            refused(login("app_scram", "back", "wrong")),
            refused(login("app_scram", "front", PASSWORD)),
            refused(login("app", "front", PASSWORD)),
            refused(login("app_md5", "postgres", PASSWORD)),
            refused(login("nobody", "back", PASSWORD)),
        ],
    );
}

/// Who stands in no list is asked for.
#[test]
fn a_wildcard_with_auth_query_is_served_as_before() {
    serves(
        include_str!("convert/asked.ini"),
        &listed("app", PASSWORD),
        &[
            sees(login("app", "postgres", PASSWORD), "postgres", "app"),
            sees(login("app_scram", "postgres", PASSWORD), "postgres", "app_scram"),
            sees(login("app_scram", "other", PASSWORD), "other", "app_scram"),
            refused(login("app_scram", "other", "wrong")),
            refused(login("app_md5", "postgres", PASSWORD)),
            refused(login("nobody", "postgres", PASSWORD)),
        ],
    );
}

/// Its users stand in a file beside; the databases' own users come first at the servers.
#[test]
fn databases_of_pgdog_are_served_as_before() {
    let (dir, port) = (new_dir("pooler-test-convert"), free_port());
    let server = format!("host = \"127.0.0.1\"\nport = {}", Postgres::shared().port);
    let file = format!(
        "[general]\nhost = \"127.0.0.1\"\nport = {port}\n\
         [[databases]]\nname = \"postgres\"\n{server}\n\
         [[databases]]\nname = \"front\"\n{server}\ndatabase_name = \"other\"\n\
         user = \"app_md5\"\npassword = \"{PASSWORD}\"\nread_only = true\n"
    );
    let users = format!(
        "[[users]]\nname = \"app\"\npassword = \"{PASSWORD}\"\nall_databases = true\n\
         [[users]]\nname = \"app_scram\"\npassword = \"{PASSWORD}\"\ndatabase = \"postgres\"\n\
         [[users]]\nname = \"app_clear\"\ndatabase = \"postgres\"\n"
    );
    write(&dir, "users.toml", &users);
    let path = write(&dir, "pgdog.toml", &file);
    let (good, text, told) = run(binary().arg("convert").args(["--format", "conf"]).arg(&path));
    assert!(good && !told.contains(PASSWORD), "{told}");
    let local = format!(
        "unix_socket_dir \"{}\"\nunix_socket_mode \"0777\"\nlisten {{ port {port} }}\n",
        dir.display()
    );
    let file = write(&dir, "odyssey.conf", &(text + &local));
    let pooler = Pooler::on(dir, &file, port);
    for (user, database, seen) in [
        ("app", "postgres", "postgres app off"),
        ("app", "front", "other app_md5 on"),
        ("app_scram", "postgres", "postgres app_scram off"),
    ] {
        let sql = "select concat_ws(' ', current_database(), current_user, \
                   current_setting('default_transaction_read_only'))";
        assert_eq!(pooler.login(&login(user, database, PASSWORD)).scalar(sql), seen);
    }
    for (user, database, password) in [
        ("app", "postgres", "wrong"),
        ("app_scram", "front", PASSWORD),
        ("app_clear", "postgres", PASSWORD),
        ("app", "other", PASSWORD),
    ] {
        drop(pooler.refused(&login(user, database, password)));
    }
    pooler.stop();
}

#[test]
fn what_is_lost_is_listed_and_no_file_is_overwritten() {
    let ini = Ini::new(include_str!("convert/sample.ini"), &listed("app", PASSWORD));
    let (file, told) = ini.converted("odyssey.conf");
    assert!(told.contains("Not carried over:") && told.contains(": reserve_pool_size: "), "{told}");
    assert!(!told.contains(PASSWORD), "{told}");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("pgbouncer.ini:29: reserve_pool_size: "), "{text}");
    assert!(text.contains("pool_ttl 45"), "the included file counts: {text}");
    assert_eq!(mode(&file), 0o600, "there are passwords in it");

    let again = binary().arg("convert").arg(&ini.path).arg("-o").arg(&file).output().unwrap();
    assert_eq!(again.status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    for bad in ["no section = 1\n", "[databases\n", "%include /no/such/file\n"] {
        let path = write(&ini.dir, "bad.ini", bad);
        let output = binary().arg("convert").arg(&path).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{told}");
        assert!(told.contains("bad.ini:1:1: "), "{told}");
    }
    std::fs::remove_dir_all(&ini.dir).unwrap();
}

fn mode(file: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).unwrap().permissions().mode() & 0o777
}
