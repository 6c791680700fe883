//! Observe, ObserveComposite, and what is answered from the observations that are established.

use crate::{
    coap::Code,
    endpoint::{
        operation::{
            Operation, Paths,
            format::{for_composite, for_reading},
        },
        rpc::Reply,
        text,
    },
};

use super::{
    super::{Answer, Task, reply::Rejection, target::Target},
    Call, bad_request, internal, list,
};

/// `Observe`
pub(super) fn observe(call: &Call<'_>) -> Result<Task, Rejection> {
    let id = call.id()?;
    let path = call.versioned(&id).map_err(bad_request)?;
    let conflict = call
        .observations
        .iter()
        .find_map(|(_, observed)| match &observed.paths {
            Paths::One(other) if *other == path => None,
            Paths::One(other) => observed
                .paths
                .overlap(&path)
                .then(|| text::observed_nearby(&path, other)),
            Paths::Several(_) => observed
                .paths
                .overlap(&path)
                .then(|| text::observed_composite(&path)),
        });
    if let Some(error) = conflict {
        return Err(Rejection::invalid("ObserveRequest", &id, &error));
    }
    let accept = call.format(for_reading(&path, call.device))?;
    Ok(Operation::observe(id, path, accept).into())
}

/// `ObserveComposite`
pub(super) fn observe_composite(call: &Call<'_>) -> Result<Task, Rejection> {
    let (ids, paths) = call.ids()?;
    let id = list(&ids);
    let Some(format) = for_composite(call.device) else {
        return Err(internal(text::thrown_no_composite()));
    };
    let conflict = paths.as_slice().iter().find_map(|path| {
        let mut observations = call.observations.iter();
        observations.find_map(|(_, observed)| match &observed.paths {
            Paths::One(other) => (other == path).then(|| text::observed_single(path)),
            Paths::Several(_) => observed
                .paths
                .overlap(path)
                .then(|| text::observed_composite(path)),
        })
    });
    let overlap = || {
        let (first, second) = paths.overlapping()?;
        Some(text::paths_overlap(&first, &second))
    };
    if let Some(error) = conflict.or_else(overlap) {
        return Err(Rejection::invalid("ObserveCompositeRequest", &id, &error));
    }
    let operation = Operation::observe_composite(id, paths, format);
    operation
        .map(Task::from)
        .map_err(|error| internal(error.to_string()))
}

/// `ObserveReadAll`
pub(super) fn read_all(call: &Call<'_>) -> Result<Task, Rejection> {
    let observed = call.observations.iter().map(|(_, own)| &own.paths);
    let texts: Vec<_> = if call.device.settings.legacy_shapes {
        let paths = observed.flat_map(Paths::as_slice);
        paths.map(ToString::to_string).collect()
    } else {
        observed.map(text::observation).collect()
    };
    Ok(Answer::of(Reply::value(Code::CONTENT, text::json_list(&texts))).into())
}

/// `ObserveCancel`
pub(super) fn cancel(call: &Call<'_>) -> Result<Task, Rejection> {
    let id = call.id()?;
    let path = Target::parse(&id).map_err(bad_request)?.path;
    let line = |count| text::observe_cancelled(&id, count);
    end(call, &Paths::One(path), line).ok_or_else(|| {
        let error = text::not_observed(&id);
        Rejection::invalid("CancelObserveRequest", &id, &error)
    })
}

/// `ObserveCompositeCancel`
pub(super) fn cancel_composite(call: &Call<'_>) -> Result<Task, Rejection> {
    let (ids, paths) = call.ids()?;
    let id = list(&ids);
    let line = |count| text::composite_observe_cancelled(&id, count);
    end(call, &paths, line).ok_or_else(|| {
        let error = text::not_observed_together(&id);
        Rejection::invalid("CancelObserveCompositeRequest", &id, &error)
    })
}

/// `ObserveCancelAll`
pub(super) fn cancel_all(call: &Call<'_>) -> Result<Task, Rejection> {
    let ended: Vec<_> = call.observations.iter().map(|(token, _)| *token).collect();
    let count = ended.len();
    Ok(Task::Answer(Answer {
        reply: Reply::value(Code::CONTENT, count.to_string()),
        ended,
        log: Some(text::all_observes_cancelled(count)),
    }))
}

/// Ends the observations of these paths; `None` when there are none.
fn end(call: &Call<'_>, paths: &Paths, line: impl Fn(usize) -> String) -> Option<Task> {
    let observations = call.observations.iter();
    let ended: Vec<_> = observations
        .filter(|(_, observed)| observed.paths.equal(paths))
        .map(|(token, _)| *token)
        .collect();
    let count = ended.len();
    (count > 0).then(|| {
        Task::Answer(Answer {
            reply: Reply::value(Code::CONTENT, count.to_string()),
            ended,
            log: Some(line(count)),
        })
    })
}
