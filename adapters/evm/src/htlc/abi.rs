//! What the contract of hash-timelocks offers. docs/protocol.md section 21.

// The macro writes the types; their fields are explained in the protocol.
#![allow(missing_docs, clippy::too_many_arguments)]

use alloy::sol;

sol! {
    interface IHtlc {
        event Claimed(address indexed locker, bytes32 indexed hash, bytes32 preimage);

        function lockCoin(bytes32 hash, address recipient, uint64 deadline) external payable;
        function lockTokens(
            bytes32 hash, address recipient, uint64 deadline, address token, uint128 amount
        ) external;
        function claim(address locker, bytes32 hash, bytes calldata preimage) external;
        function refund(address locker, bytes32 hash) external;
        function withdraw(address account, address asset) external;
        function lockOf(address locker, bytes32 hash)
            external view
            returns (
                uint8 state, address recipient, address asset, bool isToken, uint64 deadline,
                uint256 value
            );
        function creditOf(address account, address asset) external view returns (uint256);
    }

    /// As much of ERC-20 as paying in takes.
    interface IToken {
        function approve(address spender, uint256 amount) external returns (bool);
        function allowance(address owner, address spender) external view returns (uint256);
    }
}
