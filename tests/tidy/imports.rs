//! The import table: who may import whom.

/// The import table, leaves first: a module, then the modules that it may import; `*` stands for all modules above it.
/// `lib.rs` has no row: it only names the modules.
pub(crate) const IMPORTS: &str = "
clock
outcome
patience
refusal
secret      clock
sender
answer      refusal
budget      clock patience refusal
payload
condition   payload
limit
only_failing clock sender
schema
script      clock payload
source      answer
credential
redact      credential
wrapping
hop
route       condition
provider    answer clock credential patience payload refusal secret wrapping
body        condition payload provider refusal
inbound     body condition
event       body clock condition hop provider refusal
lane        body budget credential event limit only_failing payload provider route schema source
checks      body lane refusal schema source
routing     body event inbound lane provider refusal route
accept      body checks clock condition event inbound lane limit payload provider refusal route routing schema source
reply       answer event hop provider refusal source
again       accept body event inbound lane refusal routing
buffer      clock event outcome
telemetry   accept budget clock event only_failing outcome refusal route routing secret
shape       body clock condition credential event hop payload provider script secret
deliver     buffer clock event limit outcome shape telemetry
keyring     clock deliver provider
capture     clock event redact refusal sender
explain     accept again clock condition credential deliver event inbound lane limit payload provider redact refusal reply route routing shape source
archive     again body buffer clock condition deliver event lane payload refusal route routing
refused     accept again archive buffer capture event inbound keyring lane provider refusal telemetry
ingress     accept budget buffer capture clock deliver event inbound keyring lane limit provider refusal reply sender source telemetry
admin       again archive buffer capture clock condition credential deliver event explain inbound lane limit outcome payload provider redact refusal refused route secret telemetry
rejudge     buffer event lane provider
server      *
config      *
cli         *
main        cli
simulation  *
";
