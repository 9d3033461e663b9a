//! The import table of the modules.

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
encoding
payload
credential
condition   credential encoding payload
limit       sender
schema      encoding payload refusal
script      clock payload
source      answer refusal
redact      credential payload
wrapping    encoding
hop
route       condition
provider    answer clock credential encoding patience payload refusal secret wrapping
only_failing clock provider sender
body        condition payload provider refusal
inbound     body condition
event       body clock condition hop provider refusal
rules        body budget credential event limit only_failing payload provider redact refusal route schema source
accept      body clock credential event inbound rules limit payload provider refusal route schema source
reply       answer event hop provider refusal source
buffer      clock event outcome
telemetry   accept budget clock event only_failing outcome refusal route secret
shape       body clock condition credential event hop payload provider script secret
deliver     buffer clock event limit outcome shape telemetry
keyring     clock deliver provider
capture     clock event redact refusal sender
explain     accept clock condition credential deliver event inbound rules limit payload provider redact refusal reply route shape source
archive     accept body buffer clock condition deliver event rules payload refusal route
refused     accept archive buffer capture event inbound keyring rules provider sender telemetry
ingress     accept budget buffer capture clock deliver event inbound keyring rules limit provider refusal reply sender source telemetry
admin       accept archive buffer capture clock condition credential deliver event explain inbound rules limit outcome payload provider redact refusal refused route secret telemetry
rejudge     buffer event rules provider
server      *
config      *
cli         *
main        cli
simulation  *
";
