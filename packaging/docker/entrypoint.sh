#!/bin/sh
# Starts the pooler in a container. Where there is no configuration yet one is made of the variables
# that Odyssey's image knows, with its defaults; what is not set and has none is left out.
#   CONFIG_FILE   another place than /etc/odyssey/odyssey.conf
#   RUN_MODE      production: as user odyssey; test, debug, root: as who we are
set -eu

file=${CONFIG_FILE:-/etc/odyssey/odyssey.conf}
program=${PROGRAM:-/usr/bin/odyssey}

# is NAME VALUE: an option with a bare value; says NAME TEXT: one with a text. Nothing if it is empty.
is() { [ -z "$2" ] || printf '%s %s\n' "$1" "$2"; }
says() { [ -z "$2" ] || printf '%s "%s"\n' "$1" "$2"; }
# A database or user: a name, or the word default.
label() { if [ -n "$2" ]; then printf '%s "%s" {\n' "$1" "$2"; else printf '%s default {\n' "$1"; fi; }

process() {
    is daemonize "${DAEMONIZE:-no}"
    is sequential_routing "${SEQUENTIAL_ROUTING:-no}"
    is log_to_stdout yes
    says log_format "${LOG_FORMAT:-%p %t %l [%i %s] (%c) %m}"
    is log_debug "${LOG_DEBUG:-no}"
    is log_config "${LOG_CONFIG:-no}"
    is log_session "${LOG_SESSION:-yes}"
    is log_query "${LOG_QUERY:-no}"
    is log_stats "${LOG_STATS:-yes}"
    is stats_interval "${STATS_INTERVAL:-10}"
    is workers "${WORKERS:-\"auto\"}"
    is resolvers "${RESOLVERS:-1}"
    is readahead "${READAHEAD:-4096}"
    is cache_coroutine "${CACHE_COROUTINE:-1024}"
    is nodelay "${NODELAY:-yes}"
    is keepalive "${KEEPALIVE:-15}"
    is keepalive_keep_interval "${KEEPALIVE_KEEP_INTERVAL:-5}"
    is keepalive_probes "${KEEPALIVE_PROBES:-3}"
    is keepalive_usr_timeout "${KEEPALIVE_USR_TIMEOUT:-0}"
    is coroutine_stack_size "${COROUTINE_STACK_SIZE:-16}"
    is client_max "${CLIENT_MAX:-20000}"
    is client_max_routing "${CLIENT_MAX_ROUTING:-0}"
    is server_login_retry "${SERVER_LOGIN_RETRY:-1}"
    says hba_file "${HBA_FILE:-}"
    is graceful_die_on_errors "${GRACEFUL_DIE_ON_ERRORS:-no}"
    is graceful_shutdown_timeout_ms "${GRACEFUL_SHUTDOWN_TIMEOUT_MS:-30000}"
    says availability_zone "${AVAILABILITY_ZONE:-}"
    is enable_online_restart "${ENABLE_ONLINE_RESTART:-yes}"
    is bindwith_reuseport "${BINDWITH_REUSEPORT:-yes}"
    is max_sigterms_to_die "${MAX_SIGTERMS_TO_DIE:-3}"
    is enable_host_watcher "${ENABLE_HOST_WATCHER:-no}"
    is smart_search_path_enquoting "${SMART_SEARCH_PATH_ENQUOTING:-no}"
    is promhttp_server_port "${PROMHTTP_SERVER_PORT:-}"
}

# tls MODE CERTIFICATE KEY CA PROTOCOLS
tls() {
    says tls "${1:-disable}"
    says tls_cert_file "$2"
    says tls_key_file "$3"
    says tls_ca_file "$4"
    says tls_protocols "$5"
}

listen() {
    printf 'listen {\n'
    says host "${LISTEN_HOST:-0.0.0.0}"
    is port "${LISTEN_PORT:-6432}"
    is backlog "${BACKLOG:-16}"
    tls "${LISTEN_TLS_MODE:-}" "${LISTEN_TLS_CERT_FILE:-}" "${LISTEN_TLS_KEY_FILE:-}" \
        "${LISTEN_TLS_CA_FILE:-}" "${LISTEN_TLS_PROTOCOLS:-}"
    is client_login_timeout "${LISTEN_CLIENT_LOGIN_TIMEOUT:-15000}"
    says target_session_attrs "${LISTEN_TARGET_SESSION_ATTRS:-}"
    printf '}\n'
}

storages() {
    printf 'storage "%s" {\ntype "local"\n}\n' "${VDB_STORAGE_NAME:-local}"
    printf 'storage "%s" {\n' "${STORAGE_NAME:-postgres_server}"
    says type remote
    says host "${PG_HOST:-127.0.0.1}"
    is port "${PG_PORT:-5432}"
    tls "${STORAGE_TLS_MODE:-}" "${STORAGE_TLS_CERT_FILE:-}" "${STORAGE_TLS_KEY_FILE:-}" \
        "${STORAGE_TLS_CA_FILE:-}" "${STORAGE_TLS_PROTOCOLS:-}"
    is endpoints_status_poll_interval "${ENDPOINTS_STATUS_POLL_INTERVAL:-1000}"
    is server_max_routing "${SERVER_MAX_ROUTING:-0}"
    printf '}\n'
}

rule() {
    label database "${DB_NAME:-}"
    label user "${USER_NAME:-}"
    says storage "${STORAGE_NAME:-postgres_server}"
    says authentication "${USER_AUTH_TYPE:-clear_text}"
    says password "${USER_PASSWORD:-password}"
    says pool "${POOL_TYPE:-session}"
    is pool_size "${POOL_SIZE:-128}"
    is min_pool_size "${MIN_POOL_SIZE:-0}"
    is pool_timeout "${POOL_TIMEOUT:-0}"
    is pool_ttl "${POOL_TTL:-0}"
    is pool_discard "${POOL_DISCARD:-no}"
    is pool_smart_discard "${POOL_SMART_DISCARD:-no}"
    is pool_cancel "${POOL_CANCEL:-no}"
    is pool_rollback "${POOL_ROLLBACK:-yes}"
    is client_fwd_error "${CLIENT_FWD_ERROR:-yes}"
    is application_name_add_host "${APPLICATION_NAME_ADD_HOST:-no}"
    is reserve_session_server_connection "${RESERVE_SESSION_SERVER_CONNECTION:-no}"
    is server_lifetime "${SERVER_LIFETIME:-3600}"
    is pool_client_idle_timeout "${POOL_CLIENT_IDLE_TIMEOUT:-0}"
    is pool_idle_in_transaction_timeout "${POOL_IDLE_IN_TRANSACTION_TIMEOUT:-0}"
    is pool_reserve_prepared_statement "${POOL_RESERVE_PREPARED_STATEMENT:-yes}"
    is log_debug "${USER_LOG_DEBUG:-no}"
    is maintain_params "${MAINTAIN_PARAMS:-no}"
    says target_session_attrs "${USER_TARGET_SESSION_ATTRS:-}"
    says quantiles "${QUANTILES:-}"
    printf '}\n}\n'
}

console() {
    label database "${VIRTUAL_DB_NAME:-console}"
    label user "${VIRTUAL_DB_USER_NAME:-console}"
    says storage "${VDB_STORAGE_NAME:-local}"
    says authentication "${VIRTUAL_USER_AUTH_TYPE:-none}"
    says password "${VIRTUAL_USER_PASSWORD:-}"
    says pool session
    printf '}\n}\n'
}

if [ ! -f "$file" ]; then
    umask 077 # passwords stand in it
    {
        says include "${PRE_INCLUDE_PATH:-}"
        process
        listen
        storages
        rule
        console
        says include "${POST_INCLUDE_PATH:-}"
    } >"$file"
    [ "$(id -u)" != 0 ] || ! id odyssey >/dev/null 2>&1 || chown odyssey:odyssey "$file"
fi

case "${RUN_MODE:-production}" in
test | debug | root) exec "$program" "$@" "$file" ;;
*)
    [ "$(id -u)" = 0 ] || exec "$program" "$@" "$file"
    exec gosu odyssey "$program" "$@" "$file"
    ;;
esac
