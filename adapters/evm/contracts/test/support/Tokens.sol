// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ICallee} from "../../src/interfaces/ICallee.sol";

/// A token as it should be.
contract GoodToken is ERC20("Good", "GOOD") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// Returns nothing, as older tokens do.
contract SilentToken {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// Says no by returning false, and moves nothing.
contract FalseToken is GoodToken {
    function transfer(address, uint256) public pure override returns (bool) {
        return false;
    }

    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// Says yes, and moves nothing.
contract LyingToken is GoodToken {
    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return true;
    }
}

/// Keeps a tenth of each transfer.
contract FeeToken is GoodToken {
    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (from != address(0) && to != address(0) && to != address(1)) super._update(to, address(1), amount / 10);
    }
}

/// Charges the sender more than it pays out.
contract ChargingToken is GoodToken {
    address public charged;

    function charge(address account) external {
        charged = account;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        if (msg.sender == charged) _burn(msg.sender, 1);
        return super.transfer(to, amount);
    }
}

/// Calls back while it is asked to move.
contract HookToken is GoodToken {
    address public target;
    bytes public data;
    bool public succeeded;
    bool public called;

    function hook(address target_, bytes calldata data_) external {
        (target, data) = (target_, data_);
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (target == address(0) || from == address(0)) return;
        called = true;
        (succeeded,) = target.call(data);
    }
}

/// Uses up all gas.
contract EndlessToken is GoodToken {
    function transferFrom(address, address, uint256) public pure override returns (bool) {
        while (true) {}
        return true;
    }
}

/// Reverts with a quarter of a megabyte.
contract BombToken is GoodToken {
    function transferFrom(address, address, uint256) public pure override returns (bool) {
        assembly {
            revert(0, 250000)
        }
    }
}

/// Reports any balance it is told to.
contract DreamToken is GoodToken {
    mapping(address => uint256) private dreamt;

    function dream(address account, uint256 amount) external {
        dreamt[account] = amount;
    }

    function balanceOf(address account) public view override returns (uint256) {
        return super.balanceOf(account) + dreamt[account];
    }

    function transferFrom(address, address to, uint256 amount) public override returns (bool) {
        dreamt[to] += amount;
        return true;
    }
}

contract Collection is ERC721("Collection", "COLL") {
    function mint(address to, uint256 id) external {
        _mint(to, id);
    }
}

/// An ERC-721 that has the `transfer` of ERC-20 besides, as some of the first ones do.
contract TransferableCollection is Collection {
    function transfer(address to, uint256 id) external returns (bool) {
        _transfer(msg.sender, to, id);
        return true;
    }
}

/// An ERC-721 that says yes and keeps the token where it is.
contract StickyCollection is Collection {
    function transferFrom(address, address, uint256) public pure override {}
}

/// A callee that counts what it is asked, and can be told to fail or to call back.
contract Counter is ICallee {
    uint256 public prepared;
    uint256 public committed;
    uint256 public aborted;
    bool public broken;
    address public target;
    bytes public data;
    bool public succeeded;

    function breakDown(bool broken_) external {
        broken = broken_;
    }

    function hook(address target_, bytes calldata data_) external {
        (target, data) = (target_, data_);
    }

    function prepare(bytes32, address, bytes calldata payload) external {
        require(!broken);
        if (payload.length == 1) while (true) {}
        ++prepared;
        if (target != address(0)) (succeeded,) = target.call(data);
    }

    function commit(bytes32) external {
        require(!broken);
        ++committed;
        if (target != address(0)) (succeeded,) = target.call(data);
    }

    function abort(bytes32) external {
        require(!broken);
        ++aborted;
    }
}
