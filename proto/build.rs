//! Generates the wire types and service stubs, without a system `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = "tombolo/ledger/v1/ledger.proto";
    println!("cargo::rerun-if-changed={file}");
    let descriptors = protox::compile([file], ["."])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
