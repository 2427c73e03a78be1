// Lodestar 1.5.1's dependencies ask for Promise.withResolvers, which Node 20 does not have.
Promise.withResolvers ??= function () {
    let resolve, reject;
    const promise = new this((yes, no) => ([resolve, reject] = [yes, no]));
    return { promise, resolve, reject };
};
