# Short names for the commands of CONTRIBUTING.md; `just` lists them.

_default:
    @just --list

# The service, optimised
build:
    cargo build --release

# All tests, or those that the arguments of cargo test name
test *arguments:
    scripts/test.sh {{arguments}}

# Thousands of fresh seeds, long tests, fuzz targets
long:
    scripts/test.sh --long

# Each stage of an event's path
bench:
    cargo bench --bench stages

# The whole thing with nothing installed
demo:
    cargo run --release -- demo

# What .ci/run asks for before the tests
lint:
    cargo fmt --all -- --check
    cargo clippy --workspace --all-targets -- -D warnings
