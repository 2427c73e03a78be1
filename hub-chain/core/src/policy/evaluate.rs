//! Asking the policies. The compiled set is a memo of replicated text, never state itself.

use super::{Operation, POLICIES, set_hash};
use crate::Hub;
use borsh::{BorshDeserialize, BorshSerialize};
use cedar_policy::{
    ActionConstraint, AuthorizationError, Authorizer, Context as CedarContext, Decision, Entities,
    Entity, EntityId, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, Request,
    ResourceConstraint, RestrictedExpression, Schema, ValidationMode, Validator,
};
use std::{
    collections::BTreeSet,
    str::FromStr,
    sync::{Arc, LazyLock, PoisonError, RwLock},
};
use tombolo_crypto::{digest::Preimage, keccak256::keccak256};
use tombolo_ledger::{Context, Principal};
use tombolo_types::{
    Address, Class, Hash, Refusal, UnixMillis, ensure,
    id::{AssetId, ChainId, DataId, IdentityId},
    message::{DataClass, Role},
    refuse,
    store::View,
};

/// The stack under parser, validator and evaluator, in bytes.
///
/// All three recurse, and they err where less than 100 KiB of stack are left. On a stack of its
/// own, of known size, the verdict does not depend on the thread or on how deep its caller is. The
/// deepest policy that the bounds allow takes less than a quarter, without optimisation.
const STACK_BYTES: usize = 32 * 1024 * 1024;

/// What evaluates, for the evidence of a decision; another one is another version of the ledger.
pub const EVALUATOR: &str = "cedar-policy 4.14.1";

/// What policies may speak of. Types of data are schemas by name: `resource in Type::"air"`.
const CEDAR_SCHEMA: &str = r#"
entity Type;
entity Identity in [Identity] = { "roles": Set<String> };
entity Item in [Type] = {
    "class": String,
    "home": String,
    "owner": Identity,
    "schema": String,
    "terms": String,
    "version": Long,
};
entity Contract = { "chain": String };
entity Asset = { "home": String };
action share, move, write, disclose appliesTo {
    principal: [Identity],
    resource: [Item],
    context: { "source": String, "destination": String, "purpose": String, "time": Long },
};
action call appliesTo {
    principal: [Identity],
    resource: [Contract],
    context: { "source": String, "destination": String, "purpose": String, "time": Long },
};
action transfer appliesTo {
    principal: [Identity],
    resource: [Asset],
    context: { "source": String, "destination": String, "purpose": String, "time": Long },
};
"#;

static SCHEMA: LazyLock<Option<Schema>> =
    LazyLock::new(|| Schema::from_cedarschema_str(CEDAR_SCHEMA).ok().map(|(schema, _)| schema));

/// The Cedar schema; its text is part of this crate and a test reads it.
fn schema() -> Result<&'static Schema, Refusal> {
    SCHEMA.as_ref().ok_or_else(|| unevaluable("the policy schema does not parse"))
}

fn unevaluable(why: impl std::fmt::Display) -> Refusal {
    Refusal::new(Class::Policy, format!("the policies cannot be evaluated: {why}"))
}

/// What is acted upon.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Subject {
    /// A data item.
    Item {
        /// Its id.
        id: DataId,
        /// Open or closed.
        class: DataClass,
        /// Where it was first written.
        home: ChainId,
        /// Whose it is.
        owner: IdentityId,
        /// The name of its schema, which is its type.
        schema: String,
        /// Its version.
        version: u32,
        /// Its terms of use.
        terms: String,
    },
    /// A contract on a linked chain.
    Contract {
        /// The chain.
        chain: ChainId,
        /// Where.
        address: Address,
    },
    /// A fungible asset.
    Asset {
        /// Where it is native.
        home: ChainId,
        /// Its id there.
        id: AssetId,
    },
}

/// All that a decision depends on besides the policies.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Question {
    /// Who acts.
    pub principal: IdentityId,
    /// Its roles.
    pub roles: u16,
    /// Its owner, for a device; else zero.
    pub principal_owner: IdentityId,
    /// The roles of the other identities that stand here, ascending, none twice.
    pub others: Vec<(IdentityId, u16)>,
    /// What it does.
    pub operation: Operation,
    /// To what.
    pub subject: Subject,
    /// From where.
    pub source: ChainId,
    /// To where.
    pub destination: ChainId,
    /// What for; may be empty.
    pub purpose: String,
    /// Block time.
    pub time: UnixMillis,
}

/// An answer with all that an auditor needs to ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Whether it is allowed.
    pub allowed: bool,
    /// The policies that decided, ascending by name.
    pub determining: Vec<String>,
    /// Hash of the set that was asked.
    pub policy_hash: Hash,
    /// Hash of the question, which holds all entities and the context.
    pub question_hash: Hash,
}

impl Question {
    /// A question of `principal` at block time `time`; roles and owners are looked up.
    #[must_use]
    pub fn of(
        (view, time): (&dyn View, UnixMillis),
        principal: IdentityId,
        operation: Operation,
        subject: Subject,
        (source, destination): (ChainId, ChainId),
    ) -> Self {
        let found = |id| Principal::of(view, id);
        let held = |id| found(id).map_or(0, |found| found.roles);
        let principal_owner = found(principal).map_or(IdentityId::ZERO, |found| found.owner);
        let owner = match &subject {
            Subject::Item { owner, .. } => *owner,
            Subject::Contract { .. } | Subject::Asset { .. } => IdentityId::ZERO,
        };
        let others: BTreeSet<IdentityId> = [principal_owner, owner]
            .into_iter()
            .filter(|other| !other.is_zero() && *other != principal)
            .collect();
        Self {
            principal,
            roles: held(principal),
            principal_owner,
            others: others.into_iter().map(|other| (other, held(other))).collect(),
            operation,
            subject,
            source,
            destination,
            purpose: String::new(),
            time,
        }
    }
}

impl Ruling {
    /// The digest that stands in the record: decision, policies, question, evaluator.
    #[must_use]
    pub fn evidence(&self) -> Hash {
        self.determining
            .iter()
            .fold(
                Preimage::tagged("ruling")
                    .number(u8::from(self.allowed))
                    .word(self.policy_hash)
                    .word(self.question_hash)
                    .bytes(EVALUATOR.as_bytes()),
                |preimage, id| preimage.bytes(id.as_bytes()),
            )
            .finish()
    }
}

/// A compiled set of policies.
struct Compiled {
    hash: Hash,
    set: PolicySet,
    scopes: Vec<(ActionConstraint, ResourceConstraint)>,
}

/// The newest compiled set. It is a function of the state and may be dropped at any time.
#[derive(Default)]
pub struct Memo(RwLock<Option<Arc<Compiled>>>);

impl Memo {
    /// The compiled set of this state.
    fn compiled(&self, view: &dyn View) -> Result<Arc<Compiled>, Refusal> {
        let hash = set_hash(view);
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(held) = held.filter(|held| held.hash == hash) {
            return Ok(held);
        }
        let compiled = Arc::new(on_own_stack(|| compile(hash, POLICIES.all(view, usize::MAX)))?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&compiled));
        Ok(compiled)
    }
}

fn on_own_stack<T>(work: impl FnOnce() -> T) -> T {
    stacker::grow(STACK_BYTES, work)
}

fn compile(hash: Hash, policies: Vec<(String, String)>) -> Result<Compiled, Refusal> {
    let mut set = PolicySet::new();
    let mut scopes = Vec::new();
    for (id, text) in policies {
        let policy = Policy::parse(Some(PolicyId::new(id)), text).map_err(unevaluable)?;
        scopes.push((policy.action_constraint(), policy.resource_constraint()));
        set.add(policy).map_err(unevaluable)?;
    }
    Ok(Compiled { hash, set, scopes })
}

/// Checks one policy: that it is one, static, and true to the schema.
///
/// The parser's own words stay out of the refusal: they are for people and need not be the same
/// in every build.
///
/// # Errors
/// `E_FORMAT`.
pub(super) fn check(id: &str, text: &str) -> Result<(), Refusal> {
    on_own_stack(|| check_here(id, text))
}

fn check_here(id: &str, text: &str) -> Result<(), Refusal> {
    let Ok(policy) = Policy::parse(Some(PolicyId::new(id)), text) else {
        refuse!(Format, "policy {id} is not exactly one static Cedar policy");
    };
    let mut set = PolicySet::new();
    ensure!(set.add(policy).is_ok(), Format, "policy {id} cannot stand in a set");
    let found = Validator::new(schema()?.clone()).validate(&set, ValidationMode::Strict);
    ensure!(
        found.validation_passed(),
        Format,
        "policy {id} does not agree with the hub's Cedar schema; check names and types, and guard \
         what may be absent"
    );
    Ok(())
}

/// Asks the policies, and writes what they were into the record, also where they refuse.
///
/// # Errors
/// `E_POLICY` where no scope covers the operation and type, or evaluation errs; `E_DENIED` where
/// the policies do not allow it.
pub(crate) fn ask(
    hub: &Hub,
    cx: &mut Context<'_, '_>,
    question: &Question,
) -> Result<Ruling, Refusal> {
    cx.record.policy_hash = set_hash(cx.state);
    let compiled = hub.policies.compiled(cx.state)?;
    let ruling = decide(&compiled, question)?;
    cx.record.evidence = ruling.evidence();
    ensure!(
        ruling.allowed,
        Denied,
        "the policies do not allow {} to {} {}; decided by {}",
        question.principal,
        question.operation.name(),
        described(&question.subject),
        if ruling.determining.is_empty() {
            "default, for none permits it".to_owned()
        } else {
            ruling.determining.join(", ")
        }
    );
    Ok(ruling)
}

/// What the policies would say, without writing anything.
///
/// # Errors
/// As [`ask`].
pub(super) fn foresee(hub: &Hub, view: &dyn View, question: &Question) -> Result<(), Refusal> {
    let ruling = decide(&*hub.policies.compiled(view)?, question)?;
    ensure!(ruling.allowed, Denied, "the policies do not allow it");
    Ok(())
}

fn described(subject: &Subject) -> String {
    match subject {
        Subject::Item { id, schema, .. } => format!("item {id} of type {schema}"),
        Subject::Contract { chain, address } => format!("contract {address} on chain {chain}"),
        Subject::Asset { home, id } => format!("asset {id} of chain {home}"),
    }
}

fn decide(compiled: &Compiled, question: &Question) -> Result<Ruling, Refusal> {
    let names = Names::of(question)?;
    let covered = compiled.scopes.iter().any(|(action, resource)| {
        names.is_covered_by_action(action) && names.is_covered_by_resource(resource)
    });
    ensure!(
        covered,
        Policy,
        "no policy's scope covers {} of {}; nothing passes without one",
        question.operation.name(),
        described(&question.subject)
    );
    let schema = schema()?;
    let entities =
        Entities::from_entities(entities(question, &names)?, Some(schema)).map_err(unevaluable)?;
    let request = Request::new(
        names.principal,
        names.action,
        names.resource,
        context(question)?,
        Some(schema),
    )
    .map_err(unevaluable)?;
    let response =
        on_own_stack(|| Authorizer::new().is_authorized(&request, &compiled.set, &entities));
    let erring: BTreeSet<String> = response
        .diagnostics()
        .errors()
        .map(|AuthorizationError::PolicyEvaluationError(error)| error.policy_id().to_string())
        .collect();
    if let Some(id) = erring.first() {
        return Err(unevaluable(format!("policy {id} errs for this request")));
    }
    let determining: BTreeSet<String> =
        response.diagnostics().reason().map(ToString::to_string).collect();
    Ok(Ruling {
        allowed: response.decision() == Decision::Allow,
        determining: determining.into_iter().collect(),
        policy_hash: compiled.hash,
        // Writing to a vector cannot fail.
        question_hash: keccak256(&borsh::to_vec(question).unwrap_or_default()),
    })
}

/// The question's entities by their Cedar names.
struct Names {
    principal: EntityUid,
    principal_owner: Option<EntityUid>,
    action: EntityUid,
    resource: EntityUid,
    resource_type: EntityTypeName,
    data_type: Option<EntityUid>,
}

fn type_name(name: &str) -> Result<EntityTypeName, Refusal> {
    EntityTypeName::from_str(name).map_err(unevaluable)
}

fn uid(name: &str, id: impl ToString) -> Result<EntityUid, Refusal> {
    Ok(EntityUid::from_type_name_and_id(type_name(name)?, EntityId::new(id.to_string())))
}

impl Names {
    fn of(question: &Question) -> Result<Self, Refusal> {
        let (kind, id, data_type) = match &question.subject {
            Subject::Item { id, schema, .. } => ("Item", id.to_string(), Some(schema)),
            Subject::Contract { chain, address } => {
                ("Contract", format!("{chain}/{address}"), None)
            }
            Subject::Asset { home, id } => ("Asset", format!("{home}/{id}"), None),
        };
        let owner = question.principal_owner;
        Ok(Self {
            principal: uid("Identity", question.principal)?,
            principal_owner: (!owner.is_zero()).then(|| uid("Identity", owner)).transpose()?,
            action: uid("Action", question.operation.name())?,
            resource: uid(kind, id)?,
            resource_type: type_name(kind)?,
            data_type: data_type.map(|name| uid("Type", name)).transpose()?,
        })
    }

    fn is_covered_by_action(&self, constraint: &ActionConstraint) -> bool {
        match constraint {
            ActionConstraint::Any => true,
            ActionConstraint::In(actions) => actions.contains(&self.action),
            ActionConstraint::Eq(action) => *action == self.action,
        }
    }

    fn is_covered_by_resource(&self, constraint: &ResourceConstraint) -> bool {
        let is_in =
            |group: &EntityUid| *group == self.resource || Some(group) == self.data_type.as_ref();
        match constraint {
            ResourceConstraint::Any => true,
            ResourceConstraint::In(group) => is_in(group),
            ResourceConstraint::Eq(resource) => *resource == self.resource,
            ResourceConstraint::Is(name) => *name == self.resource_type,
            ResourceConstraint::IsIn(name, group) => *name == self.resource_type && is_in(group),
        }
    }
}

fn string(text: impl ToString) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_string())
}

fn entity(
    uid: EntityUid,
    attributes: Vec<(&str, RestrictedExpression)>,
    parents: Vec<EntityUid>,
) -> Result<Entity, Refusal> {
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
    Entity::new_with_tags(uid, attributes, parents, []).map_err(unevaluable)
}

fn entities(question: &Question, names: &Names) -> Result<Vec<Entity>, Refusal> {
    let roles = |bits: u16| {
        let held = Role::ALL.into_iter().filter(|role| role.is_in(bits));
        RestrictedExpression::new_set(held.map(|role| string(role.name())))
    };
    let mut found = vec![entity(
        names.principal.clone(),
        vec![("roles", roles(question.roles))],
        names.principal_owner.iter().cloned().collect(),
    )?];
    match &question.subject {
        Subject::Item { class, home, owner, schema, version, terms, .. } => {
            let owner = uid("Identity", owner)?;
            let attributes = vec![
                ("class", string(class.name())),
                ("home", string(home)),
                ("owner", RestrictedExpression::new_entity_uid(owner)),
                ("schema", string(schema)),
                ("terms", string(terms)),
                ("version", RestrictedExpression::new_long(i64::from(*version))),
            ];
            let types: Vec<EntityUid> = names.data_type.iter().cloned().collect();
            for data_type in &types {
                found.push(entity(data_type.clone(), vec![], vec![])?);
            }
            found.push(entity(names.resource.clone(), attributes, types)?);
        }
        Subject::Contract { chain, .. } => {
            found.push(entity(names.resource.clone(), vec![("chain", string(chain))], vec![])?);
        }
        Subject::Asset { home, .. } => {
            found.push(entity(names.resource.clone(), vec![("home", string(home))], vec![])?);
        }
    }
    for (other, held) in &question.others {
        found.push(entity(uid("Identity", other)?, vec![("roles", roles(*held))], vec![])?);
    }
    Ok(found)
}

fn context(question: &Question) -> Result<CedarContext, Refusal> {
    let time = i64::try_from(question.time.0).map_err(unevaluable)?;
    let pairs = [
        ("source", string(question.source)),
        ("destination", string(question.destination)),
        ("purpose", string(&question.purpose)),
        ("time", RestrictedExpression::new_long(time)),
    ];
    CedarContext::from_pairs(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)))
        .map_err(unevaluable)
}
