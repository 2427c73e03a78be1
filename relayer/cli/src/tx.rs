//! Two-phase commits from draft to Begin: drafted by one, signed by each party off-line, begun by
//! the first.

mod draft;

use crate::{
    audit::moment::rfc3339,
    output,
    party::{Ledger, Party},
    relayer_config::millis,
};
use anyhow::{Context as _, ensure};
use draft::Draft;
pub(crate) use draft::signature;
use serde_json::{Value, json};
use std::path::PathBuf;
use tombolo_crypto::{digest, secp256k1};
use tombolo_evm::Consents;
use tombolo_hub::HubCall;
use tombolo_islet::signer::{now, random};
use tombolo_node::keys::{Keystore, PassphraseSource};
use tombolo_proto::client::LedgerClient;
use tombolo_swap::two_phase::Begin;
use tombolo_types::{
    Address, Amount, Class, Refusal,
    action::{Action, Branch, Pay, Terms},
    header::Signature,
    id::{AssetId, IdentityId, LinkId},
};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Drafts a commit of payments on several ledgers, all or nothing. It binds nobody yet.
    #[command(
        after_help = "Example: tombolo tx draft --hub http://127.0.0.1:7001 --beginner 0x51… --pay 0x7d…,0xa1…,0xb2…,0x00…,5 --pay 0x3e…,0xb2…,0xa1…,0x00…,1 --out draft.json"
    )]
    Draft(DraftArguments),
    /// Shows what a draft does, who must consent to it, and who has.
    #[command(
        after_help = "Example: tombolo tx review --draft draft.json --eip712 --gateway 0xe7… --evm-chain-id 1 > sign-this.json"
    )]
    Review(Review),
    /// Adds a consent to a draft: by a key of a keystore, or as a wallet has signed it.
    #[command(
        after_help = "Example: tombolo tx sign --draft draft.json --account 0xb2… --signature 0x9c… --gateway 0xe7… --evm-chain-id 1"
    )]
    Sign(Sign),
    /// Hands a draft to which all have consented to the hub.
    #[command(
        after_help = "Example: tombolo tx begin --draft draft.json --hub http://127.0.0.1:7001 --keystore keys --name city --passphrase-file secret"
    )]
    Begin(BeginArguments),
}

#[derive(clap::Args)]
pub(crate) struct DraftArguments {
    /// A node of the hub.
    #[arg(long, value_name = "URL")]
    hub: String,
    /// The identity that will begin it; `tombolo key list` shows one's own.
    #[arg(long, value_name = "IDENTITY")]
    beginner: IdentityId,
    /// A payment, as LINK,FROM,TO,ASSET,AMOUNT: the link of the ledger on which it is made, two
    /// accounts there, the asset (zero is the native coin of an EVM chain), so many of its smallest
    /// unit.
    #[arg(long, required = true, value_name = "PAYMENT", value_parser = payment)]
    pay: Vec<Payment>,
    /// After which time it is aborted where not all are ready.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time)]
    within: u64,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct Review {
    /// The draft.
    #[arg(long, value_name = "FILE")]
    draft: PathBuf,
    /// Print what a wallet signs to consent: typed data of EIP-712, for eth_signTypedData_v4.
    #[arg(long, requires = "gateway", requires = "evm_chain_id")]
    eip712: bool,
    #[command(flatten)]
    typed: Typed,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct Sign {
    /// The draft; the consent is added to it.
    #[arg(long, value_name = "FILE")]
    draft: PathBuf,
    #[command(flatten)]
    key: Key,
    /// Whose consent it is. Default: the account of the key.
    #[arg(long, required_unless_present = "name")]
    account: Option<Address>,
    /// What a wallet has signed.
    #[arg(long, value_name = "HEX", conflicts_with = "name")]
    signature: Option<String>,
    #[command(flatten)]
    typed: Typed,
    /// The account consents by a transaction of its own on its chain: a deposit, or a call.
    #[arg(long, conflicts_with_all = ["name", "signature"])]
    by_transaction: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct BeginArguments {
    /// The draft.
    #[arg(long, value_name = "FILE")]
    draft: PathBuf,
    /// A node of the hub.
    #[arg(long, value_name = "URL")]
    hub: String,
    #[command(flatten)]
    key: Key,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A key at rest.
#[derive(clap::Args)]
struct Key {
    /// The keystore's folder.
    #[arg(long, default_value = "keys")]
    keystore: PathBuf,
    /// The key's name there.
    #[arg(long)]
    name: Option<String>,
    /// A file whose first line is the passphrase. Default: the variable TOMBOLO_PASSPHRASE.
    #[arg(long)]
    passphrase_file: Option<PathBuf>,
}

/// The domain of typed data.
#[derive(clap::Args)]
struct Typed {
    /// The gateway contract on the account's chain, as `tombolo link create` has printed it.
    #[arg(long, requires = "evm_chain_id")]
    gateway: Option<Address>,
    /// The EIP-155 id of that chain.
    #[arg(long, requires = "gateway")]
    evm_chain_id: Option<u64>,
}

impl Typed {
    fn consents(&self) -> Option<Consents> {
        let (gateway, evm_chain_id) = (self.gateway?, self.evm_chain_id?);
        Some(Consents { evm_chain_id, gateway })
    }
}

impl Key {
    fn party(&self) -> anyhow::Result<Party> {
        let name = self.name.as_deref().context("name a key with --name")?;
        let source = match &self.passphrase_file {
            Some(file) => PassphraseSource::File(file.clone()),
            None => PassphraseSource::Env("TOMBOLO_PASSPHRASE".into()),
        };
        let key = Keystore::new(&self.keystore).load(name, &source.read()?)?;
        Ok(Party::new(name, key))
    }
}

/// A payment on the ledger behind a link.
#[derive(Clone, Debug)]
struct Payment {
    link: LinkId,
    pay: Pay,
}

fn payment(text: &str) -> Result<Payment, String> {
    let wanted = "write LINK,FROM,TO,ASSET,AMOUNT";
    let [link, from, to, asset, amount] = text.split(',').collect::<Vec<_>>()[..] else {
        return Err(wanted.into());
    };
    let id = |error: tombolo_types::id::ParseIdError| format!("{error}; {wanted}");
    Ok(Payment {
        link: link.parse().map_err(id)?,
        pay: Pay {
            from: from.parse().map_err(id)?,
            to: to.parse().map_err(id)?,
            asset: asset.parse::<AssetId>().map_err(id)?,
            amount: Amount(amount.parse().map_err(|error| format!("{error}; {wanted}"))?),
        },
    })
}

fn time(text: &str) -> Result<u64, String> {
    millis(text).ok_or_else(|| "expected a time with its unit, such as 90s, 10min or 2h".into())
}

pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Draft(arguments) => draft(arguments).await,
        Command::Review(arguments) => review(&arguments),
        Command::Sign(arguments) => sign(&arguments),
        Command::Begin(arguments) => begin(arguments).await,
    }
}

async fn draft(arguments: DraftArguments) -> anyhow::Result<()> {
    let client = LedgerClient::new(&arguments.hub).context("reading --hub")?;
    let hub = client.status().await.context("asking the hub")?.chain_id;
    let mut payments: Vec<(LinkId, Vec<Action>)> = Vec::new();
    for Payment { link, pay } in arguments.pay {
        match payments.iter_mut().find(|(known, _)| *known == link) {
            Some((_, actions)) => actions.push(Action::Pay(pay)),
            None => payments.push((link, vec![Action::Pay(pay)])),
        }
    }
    let branches: Vec<Branch> =
        payments.iter().map(|(link, actions)| Branch::new(*link, actions)).collect();
    let terms = Terms {
        hub,
        beginner: arguments.beginner,
        salt: random(),
        deadline: now().saturating_add(arguments.within),
        branches: branches.iter().map(digest::branch).collect(),
    };
    let draft = Draft { begin: Begin { terms, branches, authorisations: Vec::new() } };
    draft.write(&arguments.out)?;
    print(&draft, arguments.json)
}

fn review(arguments: &Review) -> anyhow::Result<()> {
    let draft = Draft::read(&arguments.draft)?;
    match arguments.typed.consents().filter(|_| arguments.eip712) {
        Some(consents) => {
            output::json(&consents.typed_data(draft.xid()));
            Ok(())
        }
        None => print(&draft, arguments.json),
    }
}

fn sign(arguments: &Sign) -> anyhow::Result<()> {
    let mut draft = Draft::read(&arguments.draft)?;
    let authorisation = digest::authorisation(draft.xid());
    let (account, signature) = match (&arguments.signature, arguments.account) {
        (Some(text), Some(account)) => {
            let signature = draft::signature(text)?;
            let typed = arguments.typed.consents().map(|at| at.digest(draft.xid()));
            let by = |digest| secp256k1::recover(digest, &signature).ok();
            if ![Some(authorisation), typed].into_iter().flatten().any(|it| by(it) == Some(account))
            {
                let why = format!(
                    "the signature is not by {account} over this draft; what a wallet signs is \
                     typed data of one gateway, which --gateway and --evm-chain-id name"
                );
                return Err(Refusal::new(Class::Auth, why).into());
            }
            (account, signature)
        }
        (None, Some(account)) if arguments.by_transaction => (account, Signature::NONE),
        (_, account) => {
            let party = arguments.key.party()?;
            (account.unwrap_or(party.address()), party.key().sign(authorisation))
        }
    };
    draft.consent(account, signature)?;
    draft.write(&arguments.draft)?;
    print(&draft, arguments.json)
}

async fn begin(arguments: BeginArguments) -> anyhow::Result<()> {
    let draft = Draft::read(&arguments.draft)?;
    let party = arguments.key.party()?;
    let client = LedgerClient::new(&arguments.hub).context("reading --hub")?;
    let chain = client.status().await.context("asking the hub")?.chain_id;
    let terms = &draft.begin.terms;
    ensure!(terms.hub == chain, "the draft is for hub {}, this is {chain}", terms.hub);
    ensure!(
        terms.beginner == party.identity(),
        "the draft is to be begun by {}, not by {}",
        terms.beginner,
        party.identity()
    );
    for giver in draft.givers()? {
        ensure!(giver.has_consented, "account {} has not consented yet", giver.account);
    }
    let xid = draft.xid();
    if arguments.dry_run {
        eprintln!("nothing was done; leave --dry-run out to begin it");
        return print(&draft, arguments.json);
    }
    let hub = Ledger { name: "hub".into(), chain, client };
    let done = party.call(&hub, HubCall::Begin(Box::new(draft.begin))).await?;
    if arguments.json {
        output::json(&json!({ "xid": xid.to_string(), "transaction": done.id.to_string() }));
    } else {
        println!("commit {xid} has begun\n\nnext: tombolo explain {xid} --hub {}", arguments.hub);
    }
    Ok(())
}

fn print(draft: &Draft, as_json: bool) -> anyhow::Result<()> {
    let (xid, terms, givers) = (draft.xid(), &draft.begin.terms, draft.givers()?);
    if as_json {
        let givers = givers.iter().map(|giver| {
            json!({
                "branch": giver.branch, "account": giver.account.to_string(),
                "consented": giver.has_consented,
            })
        });
        output::json(&json!({
            "xid": xid.to_string(), "beginner": terms.beginner.to_string(),
            "deadline_ms": terms.deadline.0, "givers": givers.collect::<Vec<Value>>(),
        }));
        return Ok(());
    }
    println!("commit {xid}, until {}", rfc3339(terms.deadline));
    println!("  begun by {}", terms.beginner);
    for (number, branch) in draft.begin.branches.iter().enumerate() {
        println!("branch {number}, over link {}", branch.link);
        for action in branch.actions()? {
            println!("  {}", sentence(&action));
        }
    }
    for giver in givers {
        let consents = if giver.has_consented { "consents" } else { "has to consent" };
        println!("account {} of branch {} {consents}", giver.account, giver.branch);
    }
    Ok(())
}

/// What an action does, for whoever is to sign.
fn sentence(action: &Action) -> String {
    match action {
        Action::Pay(it) => format!("{} pays {} of {} to {}", it.from, it.amount, it.asset, it.to),
        Action::MoveOut(it) => format!("{} gives item {} to {}", it.from, it.item, it.to_chain),
        Action::MoveIn(it) => format!("item {} comes to {}", it.item, it.holder),
        Action::Write(it) => {
            format!("{} writes version {} of item {}", it.holder, it.item_version, it.item)
        }
        Action::Call(it) => format!("{} calls contract {}", it.from, it.contract),
        Action::TokenOut(it) => {
            format!("{} sends {} of {} to {}", it.from, it.amount, it.asset, it.to_chain)
        }
        Action::TokenIn(it) => format!("{} of {} come to {}", it.amount, it.asset, it.to),
    }
}
