//! Lines of an ini file, and what they become. That the whole is read again is checked for each.

use super::super::{Imported, Source, import};
use crate::{Format, parse, write};

const USERLIST: &str = "\
\"plain\" \"it's a \"\"secret\"\"\"
\"hashed\" \"md5d41d8cd98f00b204e9800998ecf8427e\"
\"verified\" \"SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy\"
\"empty\" \"\"
";

fn reader(path: &str) -> Result<String, String> {
    match path {
        "users.txt" => Ok(USERLIST.into()),
        "hba.txt" => Ok("# who comes how\n\
                         local all all trust\n\
                         host d,x app 10.0.0.0/8 reject\n\
                         hostssl all app all scram-sha-256\n\
                         host sameuser all 10.0.0.1 255.255.255.255 md5\n"
            .into()),
        "strange.txt" => Ok("local all all trust\nhost all all example.org md5\n".into()),
        "one.txt" => Ok("\"app\" \"pass\"\n".into()),
        _ => Err("no such file".into()),
    }
}

fn imported(text: &str) -> Imported {
    import(Source::PgBouncer, "p.ini", text, &reader).expect(text)
}

/// In odyssey.conf's language, the comments at the top left out, blanks and line ends as one blank.
fn conf(text: &str) -> String {
    let all = write(&imported(text).draft, Format::Conf);
    let lines = all.lines().skip_while(|line| line.starts_with('#'));
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

/// The text has to say all of these.
fn says(text: &str, expected: &[&str]) {
    let found = conf(text);
    for words in expected {
        let words: Vec<_> = words.split_whitespace().collect();
        assert!(found.contains(&words.join(" ")), "{text}\nsays no {words:?} but\n{found}");
    }
}

fn says_not(text: &str, unexpected: &[&str]) {
    let found = conf(text);
    for words in unexpected {
        assert!(!found.contains(words), "{text}\nsays {words:?}:\n{found}");
    }
}

fn notes(text: &str) -> Vec<String> {
    imported(text).notes.iter().map(|note| format!("{:?} {note}", note.fate)).collect()
}

fn notes_contain(text: &str, expected: &[&str]) {
    let found = notes(text);
    for words in expected {
        assert!(found.iter().any(|note| note.contains(words)), "{text}\nno {words:?}: {found:#?}");
    }
}

/// Both languages are read again; only what is not in the other's file may be complained about.
fn is_read_again(text: &str) {
    let draft = imported(text).draft;
    for format in [Format::Conf, Format::Yaml] {
        let written = write(&draft, format);
        if let Err(errors) = parse("out", &written, format) {
            let elsewhere = ["no listen", "needs tls_cert_file", "needs tls_ca_file"];
            let is_real =
                |it: &&crate::Diagnostic| !elsewhere.iter().any(|words| it.message.contains(words));
            let real: Vec<_> = errors.0.iter().filter(is_real).collect();
            assert!(real.is_empty(), "{text}\n{written}\n{real:#?}");
        }
    }
}

#[test]
fn options_of_the_process_are_carried_over() {
    let head = "[databases]\nd = host=h\n[pgbouncer]\nauth_type = trust\nauth_file = one.txt\n";
    for (line, expected) in [
        ("", &["client_max 100", "backend_connect_timeout_ms 15000", "stats_interval 60"][..]),
        ("", &["unix_socket_dir \"/tmp\" unix_socket_mode \"0777\"", "listen { port 6432"]),
        ("listen_addr = a, b", &["host \"a\" port 6432", "host \"b\"", "listen { port 6432"]),
        ("listen_addr = *\nlisten_port = 5433", &["listen { host \"*\" port 5433"]),
        ("unix_socket_mode = 0700", &["unix_socket_mode \"0700\""]),
        ("client_login_timeout = 1.5", &["client_login_timeout 1500"]),
        ("logfile = /l\npidfile = /p", &["log_file \"/l\"", "pid_file \"/p\""]),
        ("syslog = 1\nsyslog_ident = me", &["log_syslog yes log_syslog_ident \"me\""]),
        ("log_connections = 0\nlog_disconnections=0", &["log_session no"]),
        ("verbose = 2", &["log_debug yes"]),
        ("max_client_conn = 5000", &["client_max 5000"]),
        ("tcp_keepidle = 7\ntcp_keepintvl=3\ntcp_keepcnt=2", &["keepalive 7"]),
        ("tcp_keepidle = 7\ntcp_keepintvl=3", &["keepalive_keep_interval 3"]),
        ("tcp_keepalive = 0", &["keepalive 0"]),
        ("cancel_wait_timeout = 3", &["cancel_queue_timeout_ms 3000"]),
        (
            "listen_addr = a\nclient_tls_sslmode = verify-ca\nclient_tls_ca_file = c",
            &["tls \"verify_ca\" tls_ca_file \"c\""],
        ),
        ("", &["port 5432 tls \"prefer\""]),
        ("server_tls_sslmode = disable", &["port 5432 }"]),
        (
            "server_tls_sslmode = verify-full\nserver_tls_cert_file = c",
            &["tls \"verify_full\" tls_cert_file \"c\""],
        ),
    ] {
        says(&format!("{head}{line}\n"), expected);
        is_read_again(&format!("{head}{line}\n"));
    }
    says_not(&format!("{head}unix_socket_dir =\n"), &["unix_socket", "listen"]);
}

#[test]
fn databases_become_storages_and_rules() {
    let tail = "[pgbouncer]\nauth_type = trust\nauth_file = one.txt\nserver_tls_sslmode=disable\n";
    for (line, expected) in [
        ("d = host=h", &["storage \"h:5432\" { type \"remote\" host \"h\" port 5432 }"][..]),
        ("d =", &["storage \"local:5432\" { type \"remote\" port 5432 }"]),
        ("d = host=/run/pg port=1", &["host \"unix:///run/pg/.s.PGSQL.1\""]),
        ("d = host=::1", &["host \"[::1]\" port 5432"]),
        ("d = host=a,b port=7", &["storage \"a:7\" { type \"remote\" host \"a,b\" port 7 }"]),
        ("d = host=h dbname=x", &["database \"d\" { user \"app\" {", "storage_db \"x\""]),
        ("* = host=h", &["database default { user \"app\" { authentication \"none\""]),
        ("d = user=u password='p q'", &["storage_user \"u\" storage_password \"p q\""]),
        ("d = pool_size=7", &["pool_size 7"]),
        ("d = pool_mode=transaction", &["pool \"transaction\""]),
        ("d = query_wait_timeout=3", &["pool_timeout 3000"]),
        ("d = server_lifetime=9", &["server_lifetime 9"]),
        ("d = timezone=UTC", &["backend_startup_options { \"timezone\" \"UTC\" }"]),
        ("d = max_db_client_connections=9", &["client_max 9"]),
        ("\"my db\" = host=h", &["database \"my db\""]),
    ] {
        let text = format!("[databases]\n{line}\n{tail}");
        says(&text, expected);
        is_read_again(&text);
    }
    let two = format!("[databases]\na = host=h\nb = host=h\nc = host=h port=1\n{tail}");
    assert_eq!(conf(&two).matches("storage \"h:5432\" {").count(), 1);
    let twice = format!("[databases]\na = host=h\na = host=i\n{tail}");
    says_not(&twice, &["\"h:5432\""]);
    notes_contain(&format!("[databases]\na = host=@x\n{tail}"), &["the database is missing"]);
    is_read_again(&format!("[databases]\na = host=@x\n{tail}"));
    is_read_again(tail);
}

#[test]
fn the_kind_of_a_secret_decides_how_it_is_asked_for() {
    for (kind, expected) in [
        ("md5", ["md5", "md5", "scram-sha-256", "block"]),
        ("scram-sha-256", ["scram-sha-256", "block", "scram-sha-256", "block"]),
        ("plain", ["clear_text", "md5", "scram-sha-256", "block"]),
        ("trust", ["none", "none", "none", "none"]),
        ("hba", ["block", "block", "block", "block"]),
        ("ldap", ["block", "block", "block", "block"]),
    ] {
        let text = format!(
            "[databases]\nd = host=h\n[pgbouncer]\nauth_file = users.txt\nauth_type = {kind}\n"
        );
        for (user, method) in ["plain", "hashed", "verified", "empty"].iter().zip(expected) {
            says(&text, &[&format!("user \"{user}\" {{ authentication \"{method}\"")]);
        }
        if kind != "ldap" && kind != "hba" {
            says(&text, &[r#"password "it's a \"secret\"""#]);
        }
        says_not(&text, &["user default"]);
        is_read_again(&text);
    }
}

#[test]
fn nobody_gets_in_who_did_not_before() {
    // Without a rule of its own, somebody unknown in `d` would meet the one of the fallback.
    let text = "[databases]\nd = host=h\n* = host=i auth_user=a\n[pgbouncer]\nauth_file=one.txt";
    says(text, &["user default { authentication \"block\" storage \"h:5432\""]);
    says(text, &["database default { user \"app\" {"]);
    is_read_again(text);
    let text = "[databases]\nd = host=h\n";
    says(text, &["database \"d\" { user default { authentication \"block\""]);
    notes_contain(text, &["neither auth_file nor auth_user lets anybody in"]);
    let text = "[databases]\nd = host=h\n[pgbouncer]\nauth_file = gone.txt";
    notes_contain(text, &["'gone.txt' cannot be read (no such file)"]);
    let text = "[databases]\nd = host=h\ne = host=h user=u\n[pgbouncer]\nauth_type = any";
    says(text, &["database \"d\" { user default { authentication \"block\""]);
    says(text, &["database \"e\" { user default { authentication \"none\""]);
    // A name without a secret is let in by auth_query or not at all.
    let text = "[databases]\nd = host=h\n[users]\nu = pool_mode=statement\n";
    says_not(text, &["user \"u\""]);
}

#[test]
fn auth_query_is_for_those_who_are_not_listed() {
    let text = "[databases]\nd = host=h dbname=x\n* = host=h auth_query='select $1, 2'\n\
                [users]\nu = pool_size=3\n\
                [pgbouncer]\nauth_user = asker\nauth_type = scram-sha-256\nauth_file = one.txt";
    says(
        text,
        &[
            "user \"app\" { authentication \"scram-sha-256\" password \"pass\"",
            "auth_query_user \"asker\" auth_query_db \"x\"",
            "auth_query \"select $1, 2\" auth_query_user \"asker\" auth_query_db \"postgres\"",
            "user \"asker\" { pool_routing \"internal\" authentication \"none\"",
            "user \"u\" { authentication \"scram-sha-256\" auth_query",
        ],
    );
    is_read_again(text);
    says(&format!("{text}\nauth_dbname = y"), &["auth_query_db \"y\""]);
}

#[test]
fn the_user_comes_before_the_database_and_that_before_the_whole() {
    let text = "[databases]\nd = host=h pool_size=5 pool_mode=statement\ne = host=h\n\
                [users]\napp = pool_size=3 pool_mode=transaction idle_transaction_timeout=9\n\
                other = pool_size=8\n\
                [pgbouncer]\nauth_file = one.txt\ndefault_pool_size = 2\npool_mode = session\n\
                idle_transaction_timeout = 2\nauth_user = a\nauth_type=scram-sha-256";
    let found = conf(text);
    let rule = |from: &str| {
        let at = found.find(from).expect(from);
        found[at..].split('}').next().unwrap_or_default().to_owned()
    };
    let d_app = rule("database \"d\" { user \"app\"");
    assert!(d_app.contains("pool \"transaction\"") && d_app.contains("pool_size 3"), "{d_app}");
    assert!(d_app.contains("pool_idle_in_transaction_timeout 9"), "{d_app}");
    let d_all = &found[found.find("database \"d\"").expect("d")..];
    let d_all = &d_all[d_all.find("user default").expect("everybody")..];
    let d_all = d_all.split('}').next().unwrap_or_default();
    assert!(d_all.contains("pool \"statement\"") && d_all.contains("pool_size 5"), "{d_all}");
    assert!(d_all.contains("pool_idle_in_transaction_timeout 2"), "{d_all}");
    is_read_again(text);
}

#[test]
fn one_pool_for_all_users_stays_one() {
    let head = "[pgbouncer]\nauth_file = users.txt\n[databases]\n";
    let text = format!("{head}d = host=h user=u pool_size=4");
    says(&text, &["shared_pool \"d\" { pool_size 4 }", "shared_pool \"d\" }"]);
    says_not(&text, &["pool_size 20"]);
    is_read_again(&text);
    let text = format!("{head}d = host=h max_db_connections=9");
    says(&text, &["shared_pool \"d\" { pool_size 9 }"]);
    let text =
        "[pgbouncer]\nauth_file = one.txt\n[databases]\nd = host=h user=u max_db_connections=9";
    says(text, &["pool_size 9 }"]);
    says_not(text, &["shared_pool"]);
    is_read_again(text);
}

#[test]
fn resets_are_pgbouncers() {
    for (mode, options, expected) in [
        ("session", "", ""),
        ("session", "server_reset_query =", "pool_discard no"),
        ("session", "server_reset_query = RESET ALL;", "pool_discard_query \"RESET ALL\""),
        ("transaction", "", ""),
        ("transaction", "server_reset_query_always = 1", "pool_session_state \"reset\""),
    ] {
        let text = format!(
            "[databases]\nd = host=h user=u\n[pgbouncer]\nauth_type=any\npool_mode={mode}\n{options}\n"
        );
        if expected.is_empty() {
            says_not(&text, &["discard", "pool_session_state"]);
        } else {
            says(&text, &[expected]);
        }
        is_read_again(&text);
    }
}

#[test]
fn the_console_keeps_its_name_and_its_users() {
    let text = "[databases]\nd = host=h\n[pgbouncer]\nauth_file = users.txt\n\
                admin_users = plain, nobody\nstats_users = plain, hashed\n";
    says(
        text,
        &[
            "database \"pgbouncer\" { user \"plain\" { authentication \"md5\"",
            "role \"admin\" storage \"console\" pool \"session\"",
            "role \"stat\"",
        ],
    );
    notes_contain(text, &["Lost p.ini:5: admin_users: 'nobody' is not in auth_file"]);
    is_read_again(text);
}

#[test]
fn what_has_no_counterpart_is_told_and_never_with_its_value() {
    let text = "[databases]\nd = host=h connect_query='set x = secret' nonsense=secret\n\
                [pgbouncer]\nauth_type = any\nreserve_pool_size = 5\npkt_buf = 8192\n\
                sbuf_loopcnt = 5\nquery_timeout = 3\nnonsense = secret\n[else]\na = secret\n\
                [peers]\n1 = host=secret\n[users]\nu = transaction_timeout=3\n";
    notes_contain(
        text,
        &[
            "Lost p.ini:2: connect_query of database 'd': ",
            "Lost p.ini:2: nonsense of database 'd': ",
            "Lost p.ini:5: reserve_pool_size: ",
            "Needless p.ini:6: pkt_buf: ",
            "Changed p.ini:8: query_timeout: ",
            "Lost p.ini:9: nonsense: ",
            "Lost p.ini:11: [else]: ",
            "Needless p.ini:13: [peers]: ",
            "Lost p.ini:15: transaction_timeout of user 'u': ",
        ],
    );
    let all = notes(text).concat();
    assert!(!all.contains("secret") && !all.contains("sbuf_loopcnt"), "{all}");
    assert!(
        write(&imported(text).draft, Format::Yaml).contains("#   p.ini:5: reserve_pool_size: ")
    );
}

#[test]
fn lines_of_an_hba_file_become_rules_in_their_order() {
    let text = "[databases]\nd = host=h\n* = host=i\napp = host=h\n[pgbouncer]\n\
                auth_type = hba\nauth_hba_file = hba.txt\nauth_file = one.txt\n\
                client_tls_sslmode = allow\n";
    let block = "authentication \"block\" storage";
    says(
        text,
        &[
            "sequential_routing yes",
            "database \"d\" { user \"app\" local { authentication \"none\"",
            &format!("user \"app\" \"10.0.0.0/8\" host {{ {block}"),
            "user \"app\" hostssl { authentication \"scram-sha-256\" password \"pass\"",
            "user \"app\" \"10.0.0.1/32\" host { authentication \"md5\"",
            // Only the fallback stands for it, but a line is about it.
            "database \"x\" { user \"app\" local {",
            "database default { user \"app\" local {",
        ],
    );
    let found = conf(text);
    let of_d = &found[found.find("database \"d\"").expect("d")..];
    let of_d = &of_d[..of_d.find("} database").expect("another one")];
    let at = |words: &str| of_d.find(words).expect(words);
    assert!(at("local {") < at("10.0.0.0/8") && at("10.0.0.0/8") < at("hostssl"), "{of_d}");
    assert!(!of_d.contains("10.0.0.1/32"), "sameuser is not for this database: {of_d}");
    // psql asks for TLS even where it gets none; a rule with hostssl would let it in.
    says_not(&text.replace("client_tls_sslmode = allow", ""), &["hostssl"]);
    is_read_again(text);
}

#[test]
fn an_hba_file_that_is_not_understood_lets_nobody_in() {
    for file in ["strange.txt", "gone.txt"] {
        let text = format!(
            "[databases]\nd = host=h\n[pgbouncer]\nauth_type = hba\nauth_hba_file = {file}\n\
             auth_file = one.txt\nadmin_users = app\n"
        );
        says(&text, &["user \"app\" { authentication \"block\""]);
        says_not(&text, &["authentication \"none\"", "authentication \"md5\""]);
        notes_contain(&text, &["auth_hba_file: "]);
        is_read_again(&text);
    }
}
