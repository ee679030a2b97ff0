// raii.cc - vecstore in C++: handles that close themselves, errors as exceptions, a transaction that is rolled back
// unless it is committed.
//
//   cc -O2 -c vecstore.c && c++ -std=c++11 -I. examples/raii.cc vecstore.o -lzstd -lm -lpthread -o raii && ./raii
//
// vecstore.c is C and compiled as C; vecstore.h is fine for both.
#include "vecstore.h"

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Error : std::runtime_error {
    Error(vs_status st, const void *handle)
        : std::runtime_error(std::string(vs_status_name(st)) + ": " + vs_errmsg(handle)),
          status(st) {
    }
    vs_status status;
};

void check(vs_status st, const void *handle) {
    if (st != VS_OK)
        throw Error(st, handle);
}

struct CloseDatabase {
    void operator()(vs_db *db) const {
        (void)vs_close(db);
    }
};
struct CloseCollection {
    void operator()(vs_collection *c) const {
        vs_collection_close(c);
    }
};
using Database = std::unique_ptr<vs_db, CloseDatabase>;
using Collection = std::unique_ptr<vs_collection, CloseCollection>;

Database open_database(const char *path) {
    vs_open_options how = VS_OPEN_OPTIONS_INIT;
    vs_db *db = nullptr;
    how.flags = VS_OPEN_CREATE;
    vs_status st = vs_open(path, &how, &db);
    Database owner(db); // also that of a failed open must be closed
    check(st, db);
    return owner;
}

Collection open_or_create(vs_db *db, const char *name, uint32_t dim) {
    vs_collection_options shape = VS_COLLECTION_OPTIONS_INIT;
    vs_collection *c = nullptr;
    shape.dim = dim;
    vs_status st = vs_collection_open(db, nullptr, name, &c);
    if (st == VS_ERR_NOT_FOUND)
        st = vs_collection_create(db, nullptr, name, &shape, &c);
    check(st, db);
    return Collection(c);
}

class Transaction {
  public:
    explicit Transaction(vs_db *db) : db_(db) {
        check(vs_begin(db, VS_TXN_WRITE, &txn_), db);
    }
    ~Transaction() {
        vs_rollback(txn_);
    } // NULL after commit
    Transaction(const Transaction &) = delete;
    Transaction &operator=(const Transaction &) = delete;

    vs_txn *get() const {
        return txn_;
    }

    void commit() {
        vs_txn *txn = txn_;
        txn_ = nullptr; // gone, whatever vs_commit returns
        check(vs_commit(txn, VS_SYNC_DEFAULT), db_);
    }

  private:
    vs_db *db_;
    vs_txn *txn_ = nullptr;
};

void put(vs_collection *c, vs_txn *txn, const std::string &key, const std::vector<float> &vector) {
    vs_record record = VS_RECORD_INIT;
    record.key = vs_key_bytes(key.data(), key.size());
    record.vector = vector.data();
    check(vs_put(c, txn, &record, VS_UPSERT), c);
}

std::vector<std::string> nearest(vs_collection *c, const std::vector<float> &query, size_t k) {
    std::vector<vs_hit> hits(k);
    std::vector<std::string> keys;
    size_t found = 0;
    check(vs_search(c, nullptr, query.data(), VS_F32, k, nullptr, hits.data(), &found), c);
    for (size_t i = 0; i < found; i++)
        keys.emplace_back(static_cast<const char *>(hits[i].key.data), hits[i].key.bytes);
    return keys;
}

int run() {
    Database db = open_database("raii.vs");
    Collection colors = open_or_create(db.get(), "colors", 3);
    {
        Transaction txn(db.get());
        put(colors.get(), txn.get(), "red", {1, 0, 0});
        put(colors.get(), txn.get(), "green", {0, 1, 0});
        txn.commit();
    }
    try {
        Transaction txn(db.get());
        put(colors.get(), txn.get(), "blue", {0, 0, 1});
        put(colors.get(), txn.get(), "", {0, 0, 0}); // throws: a key has a byte at least
        txn.commit();
    } catch (const Error &e) {
        std::printf("rolled back, blue as well: %s\n", e.what());
        if (e.status != VS_ERR_LIMIT)
            return 1;
    }
    std::vector<std::string> keys = nearest(colors.get(), {0.9f, 0.2f, 0.4f}, 3);
    for (const std::string &key : keys)
        std::printf("%s\n", key.c_str());
    return keys.size() == 2 && keys[0] == "red" ? 0 : 1;
}

} // namespace

int main() {
    try {
        return run();
    } catch (const std::exception &e) {
        std::fprintf(stderr, "raii: %s\n", e.what());
        return 1;
    }
}
