//! Names that are no settings, and which setting they may have meant.

use strsim::osa_distance;

/// Names from this length on may have two slips (a letter missing, added, changed, or two exchanged), shorter ones one.
/// More would take other programs' variables for slips: HTTP_PROXY is three from HTTP_PORT.
const LONG_NAME_CHARS: usize = 10;
/// Another program's variables that are one slip away from a setting all the same.
const OF_OTHERS: [&str; 3] = ["HTTPS_HOST", "HTTPS_PORT", "HTTP_PORTS"];
/// No name is longer than all settings by more than a slip or two.
const NAME_BYTES_MAX: usize = 64;

/// The setting that `name`, which is none, is a slip of.
pub(super) fn meant_by<'a>(name: &str, settings: &[&'a str]) -> Option<&'a str> {
    if name.len() > NAME_BYTES_MAX || OF_OTHERS.contains(&name) {
        return None;
    }
    let name = name.to_ascii_uppercase().replace('-', "_");
    let (slips, meant) = settings.iter().map(|setting| (osa_distance(&name, setting), *setting)).min()?;
    let slips_max = if meant.len() >= LONG_NAME_CHARS { 2 } else { 1 };
    (slips <= slips_max).then_some(meant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn slips_are_found_and_other_programs_variables_left_alone() {
        let grammar = crate::config::Cli::command();
        let settings = crate::config::layers::setting_names(&grammar);
        let check = |name: &str, expected: Option<&str>| assert_eq!(meant_by(name, &settings), expected, "{name}");
        check("NATS_ULR", Some("NATS_URL"));
        check("NATSURL", Some("NATS_URL"));
        check("NATS_URLS", Some("NATS_URL"));
        check("nats-url", Some("NATS_URL"));
        check("NATS_PASSWD", Some("NATS_PASSWORD"));
        check("NATS_CRED", Some("NATS_CREDS"));
        check("CORE", Some("CORES"));
        check("SYMBOL", Some("SYMBOLS"));
        check("SIGNAL_RETURN_TRESHOLD", Some("SIGNAL_RETURN_THRESHOLD"));
        check("SIGNAL_COOLDOWN_SECS", None);
        check("LOGLEVEL", Some("LOG_LEVEL"));
        for others in [
            "NATS_SERVER NATS_SERVERS NATS_HOST NATS_PORT NATS_CONTEXT NATS_TIMEOUT NATS_OPERATOR NATS_ACCOUNT NATS_JWT",
            "NATS_SERVICE_HOST NATS_SERVICE_PORT NATS_PORT_4222_TCP NATS_PORT_4222_TCP_ADDR NATS_MONITOR_PORT NATS_STREAM",
            "HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy HTTP_PORTS HTTPS_PORT HTTPS_HOST PORT HOST HOSTNAME",
            "HTTP_USER_AGENT HTTP_REFERER HTTP_ACCEPT HTTP_COOKIE REMOTE_HOST SERVER_PORT",
            "LOG_DIR LOG_FILE LOG_PATH LOGNAME LOG_DIRS LOGS RUST_LOG RUST_BACKTRACE PATH HOME SHELL USER TERM LANG PWD",
            "OLDPWD SHLVL TMPDIR TZ EDITOR DISPLAY MAIL LC_ALL XDG_RUNTIME_DIR CARGO_HOME RUSTUP_HOME COLUMNS LINES",
            "COMPOSE_PROJECT_NAME KUBERNETES_PORT KUBERNETES_SERVICE_HOST INVOCATION_ID JOURNAL_STREAM NOTIFY_SOCKET",
            "REDIS_URL DATABASE_URL POSTGRES_PASSWORD POSTGRES_USER KAFKA_BROKERS PYTHONPATH JAVA_HOME NODE_ENV SYSTEMD",
            "OMP_NUM_THREADS MAX_WORKERS CI SSH_AUTH_SOCK SSL_CERT_FILE SSL_CERT_DIR _ LD_LIBRARY_PATH WINDOWID",
        ] {
            others.split(' ').for_each(|name| check(name, None));
        }
    }
}
