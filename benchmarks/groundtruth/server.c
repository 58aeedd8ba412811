/* server.c: an inference server whose true latencies are known to the nanosecond.
 *
 * One thread, one epoll, HTTP/1.1 keep-alive. It answers every POST either with a chat-completion event stream of
 * exact timing (mode stream) or with one small JSON body (mode plain), and writes what it really did to a file on
 * SIGTERM or SIGINT, so that a load engine can be held against the truth of the very same run.
 *
 *   arrival  when the last segment of the request reached this socket: the kernel's own stamp (SO_TIMESTAMPNS)
 *   token    when a token's event was handed to the kernel: CLOCK_REALTIME just before send()
 *   end      the same for the last byte of the body
 *
 * Linux only. No dependency beyond libc.
 *
 * The truth file, little endian: "IATRUTH1", then for each request
 *   i64 arrival, i64 first byte, i64 end, u32 peer port, u32 flags (1 slow, 2 cut off, 4 no kernel stamp),
 *   u32 tokens, u32 number on its connection, i64 token[tokens]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_FDS 65536
#define IN_SIZE (1 << 20)
#define SPIN_NS 30000 /* the last microseconds before a deadline are spent awake: timers wake late */
#define NS 1000000000LL

enum { SLOW = 1, CUT = 2, NO_STAMP = 4 };

typedef struct {
    int64_t arrival, first, end;
    uint32_t port, flags, tokens, number;
    int64_t *token;
} Request;

typedef struct {
    int fd, heap; /* place in the heap of deadlines, or -1 */
    int64_t due, arrival;
    uint32_t port, number;
    int close_after;
    Request *now; /* the request being answered */
    int phase;    /* tokens sent; -1: nothing yet */
    char *in, *out;
    size_t in_len, in_cap, out_len, out_at, out_cap;
} Conn;

static struct {
    int plain, port, tokens, slow_every, role, usage, cpu, backlog;
    int64_t ttft, itl, delay, stall_at, stall;
    double slow_factor;
    const char *truth;
} opt = {.tokens = 100, .ttft = 200000000, .itl = 20000000, .slow_factor = 3, .usage = 1, .cpu = -1, .backlog = 4096};

static Conn *conns[MAX_FDS];
static Conn *heap[MAX_FDS];
static int heap_len;
static Request **requests;
static size_t request_count, request_cap;
static uint64_t posts;
static int64_t first_request;
static int epfd, listen_fd, stalled;
static volatile sig_atomic_t stopping;

static char role_event[512], token_event[512], finish_event[512], last_events[1024], plain_answer[1024];
static size_t role_len, token_len, finish_len, last_len, plain_len;
static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
                           "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * NS + t.tv_nsec;
}

static void die(const char *what) {
    fprintf(stderr, "groundtruth: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *must(void *p) {
    if (!p) die("memory");
    return p;
}

/* ---- a binary heap of deadlines, each connection at most once ---- */

static void heap_put(int at, Conn *c) {
    heap[at] = c;
    c->heap = at;
}

static void heap_fix(int at) {
    Conn *c = heap[at];
    while (at > 0 && heap[(at - 1) / 2]->due > c->due) {
        heap_put(at, heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        int child = 2 * at + 1;
        if (child >= heap_len) break;
        if (child + 1 < heap_len && heap[child + 1]->due < heap[child]->due) child++;
        if (heap[child]->due >= c->due) break;
        heap_put(at, heap[child]);
        at = child;
    }
    heap_put(at, c);
}

static void heap_set(Conn *c, int64_t due) {
    c->due = due;
    if (c->heap < 0) heap_put(heap_len++, c);
    heap_fix(c->heap);
}

static void heap_remove(Conn *c) {
    if (c->heap < 0) return;
    int at = c->heap;
    c->heap = -1;
    Conn *last = heap[--heap_len];
    if (last != c) {
        heap_put(at, last);
        heap_fix(at);
    }
}

/* ---- sending ---- */

static void watch(Conn *c, uint32_t events) {
    struct epoll_event e = {.events = events, .data.fd = c->fd};
    epoll_ctl(epfd, EPOLL_CTL_MOD, c->fd, &e);
}

static void drop(Conn *c) {
    if (c->now && !c->now->end) c->now->flags |= CUT;
    heap_remove(c);
    conns[c->fd] = NULL;
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
}

static int flush(Conn *c) { /* 0: the connection is gone */
    while (c->out_at < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            if (errno == EAGAIN) {
                watch(c, EPOLLIN | EPOLLOUT);
                return 1;
            }
            drop(c);
            return 0;
        }
        c->out_at += (size_t)n;
    }
    c->out_at = c->out_len = 0;
    if (c->close_after && !c->now && c->number) { /* the answer was complete before its last bytes could leave */
        drop(c);
        return 0;
    }
    watch(c, EPOLLIN);
    return 1;
}

static int put(Conn *c, const char *data, size_t len) {
    if (!c->out_len) {
        ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n == (ssize_t)len) return 1;
        if (n < 0 && errno != EAGAIN) {
            drop(c);
            return 0;
        }
        if (n > 0) data += n, len -= (size_t)n;
    }
    if (c->out_len + len > c->out_cap) {
        c->out_cap = (c->out_len + len) * 2;
        c->out = must(realloc(c->out, c->out_cap));
    }
    memcpy(c->out + c->out_len, data, len);
    c->out_len += len;
    return flush(c);
}

/* ---- answering ---- */

static int answer_next(Conn *c);

static int finished(Conn *c) {
    c->now = NULL;
    c->phase = -1;
    heap_remove(c);
    if (c->close_after) {
        if (c->out_len) return 1; /* flush() closes it */
        drop(c);
        return 0;
    }
    return answer_next(c);
}

static int step(Conn *c) { /* the deadline of this connection has come; 0: it is gone */
    Request *r = c->now;
    char buffer[4096];
    size_t len = 0;
    int64_t t = now_ns();
    if (opt.plain) {
        r->first = r->end = t;
        return put(c, plain_answer, plain_len) && finished(c);
    }
    if (c->phase < 0) { /* the first token; its headers go with it unless they went ahead with the role */
        if (!opt.role) {
            memcpy(buffer, head, sizeof head - 1);
            len = sizeof head - 1;
            r->first = t;
        }
        c->phase = 0;
    }
    memcpy(buffer + len, token_event, token_len);
    len += token_len;
    r->token[c->phase++] = t;
    if (c->phase < opt.tokens) {
        heap_set(c, c->due + opt.itl); /* from the plan, not from now: lateness does not add up */
        return put(c, buffer, len);
    }
    memcpy(buffer + len, last_events, last_len); /* finish, usage and [DONE] leave with the last token */
    len += last_len;
    r->end = t;
    return put(c, buffer, len) && finished(c);
}

static int begin(Conn *c) { /* a whole POST is here */
    Request *r = must(calloc(1, sizeof *r));
    if (request_count == request_cap) {
        request_cap = request_cap ? request_cap * 2 : 65536;
        requests = must(realloc(requests, request_cap * sizeof *requests));
    }
    requests[request_count++] = r;
    r->arrival = c->arrival;
    if (!r->arrival) {
        r->arrival = now_ns();
        r->flags |= NO_STAMP;
    }
    r->port = c->port;
    r->number = c->number++;
    int64_t wait = opt.plain ? opt.delay : opt.ttft;
    posts++;
    if (opt.slow_every && posts % (uint64_t)opt.slow_every == 0) {
        wait = (int64_t)((double)wait * opt.slow_factor);
        r->flags |= SLOW;
    }
    if (!first_request) first_request = r->arrival;
    if (!opt.plain) {
        r->tokens = (uint32_t)opt.tokens;
        r->token = must(calloc((size_t)opt.tokens, sizeof *r->token));
    }
    c->now = r;
    c->phase = -1;
    if (!opt.plain && opt.role) {
        char buffer[2048];
        memcpy(buffer, head, sizeof head - 1);
        memcpy(buffer + sizeof head - 1, role_event, role_len);
        r->first = now_ns();
        if (!put(c, buffer, sizeof head - 1 + role_len)) return 0;
    }
    if (!wait) {
        c->due = r->arrival;
        return step(c);
    }
    heap_set(c, r->arrival + wait);
    return 1;
}

static const char *find(const char *text, size_t len, const char *what) {
    size_t n = strlen(what);
    for (size_t i = 0; i + n <= len; i++)
        if (!strncasecmp(text + i, what, n)) return text + i;
    return NULL;
}

static int answer_get(Conn *c, const char *path) {
    static const char models[] = "{\"object\":\"list\",\"data\":[{\"id\":\"truth\",\"object\":\"model\",\"created\":1,"
                                 "\"owned_by\":\"groundtruth\"}]}";
    const char *body = !strncmp(path, "/v1/models", 10) ? models : "{}";
    char buffer[512];
    int n = snprintf(buffer, sizeof buffer, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     body == models || !strncmp(path, "/health", 7) ? "200 OK" : "404 Not Found", strlen(body), body);
    return put(c, buffer, (size_t)n);
}

static int answer_next(Conn *c) { /* begin what has arrived whole; 0: the connection is gone */
    while (!c->now && c->in_len) {
        char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
        if (!end) return 1;
        size_t head_len = (size_t)(end - c->in) + 4, body = 0;
        const char *l = find(c->in, head_len, "\r\ncontent-length:");
        if (l) body = strtoul(l + 17, NULL, 10);
        if (head_len + body > IN_SIZE) {
            drop(c);
            return 0;
        }
        if (c->in_len < head_len + body) {
            if (find(c->in, head_len, "100-continue") && c->in_len == head_len)
                return put(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
            return 1;
        }
        c->close_after = find(c->in, head_len, "\r\nconnection: close") != NULL;
        int get = !strncmp(c->in, "GET ", 4);
        char path[64] = {0};
        if (get) memcpy(path, c->in + 4, head_len - 4 < 63 ? head_len - 4 : 63);
        c->in_len -= head_len + body;
        memmove(c->in, c->in + head_len + body, c->in_len);
        if (!(get ? answer_get(c, path) : begin(c))) return 0;
    }
    return 1;
}

static void receive(Conn *c) {
    for (;;) {
        if (c->in_cap - c->in_len < 4096) {
            c->in_cap = c->in_cap ? c->in_cap * 2 : 8192;
            if (c->in_cap > 2 * IN_SIZE) {
                drop(c);
                return;
            }
            c->in = must(realloc(c->in, c->in_cap));
        }
        struct iovec iov = {c->in + c->in_len, c->in_cap - c->in_len};
        size_t room = iov.iov_len;
        char control[128];
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        ssize_t n = recvmsg(c->fd, &m, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            drop(c);
            return;
        }
        c->arrival = 0;
        for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
            if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_TIMESTAMPNS) {
                struct timespec t;
                memcpy(&t, CMSG_DATA(h), sizeof t);
                c->arrival = t.tv_sec * NS + t.tv_nsec;
            }
        c->in_len += (size_t)n;
        if (!answer_next(c)) return;
        if ((size_t)n < room) return; /* a short read: nothing more is waiting, epoll will say if that changes */
    }
}

static void accept_all(void) {
    for (;;) {
        struct sockaddr_in peer;
        socklen_t len = sizeof peer;
        int fd = accept4(listen_fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
        if (fd < 0) return;
        if (fd >= MAX_FDS) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one);
        Conn *c = must(calloc(1, sizeof *c));
        c->fd = fd;
        c->heap = c->phase = -1;
        c->port = ntohs(peer.sin_port);
        conns[fd] = c;
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e) < 0) die("epoll_ctl");
    }
}

/* ---- the fixed bytes ---- */

static size_t chunk(char *into, size_t room, const char *data) {
    return (size_t)snprintf(into, room, "%zx\r\n%s\r\n", strlen(data), data);
}

static void prepare(void) {
#define EVENT(choices) \
    "data: {\"id\":\"chatcmpl-truth\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"truth\",\"choices\":" choices
    role_len = chunk(role_event, sizeof role_event,
                     EVENT("[{\"index\":0,\"delta\":{\"role\":\"assistant\"},\"finish_reason\":null}]}\n\n"));
    token_len = chunk(token_event, sizeof token_event,
                      EVENT("[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}\n\n"));
    finish_len = chunk(finish_event, sizeof finish_event,
                       EVENT("[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n"));
    char usage[512] = "";
    if (opt.usage)
        snprintf(usage, sizeof usage, EVENT("[],\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\n"),
                 opt.tokens, opt.tokens + 8);
    memcpy(last_events, finish_event, finish_len);
    last_len = finish_len;
    if (*usage) last_len += chunk(last_events + last_len, sizeof last_events - last_len, usage);
    last_len += (size_t)snprintf(last_events + last_len, sizeof last_events - last_len, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
    const char body[] = "{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"truth\",\"choices\":[{\"index\":0,"
                        "\"message\":{\"role\":\"assistant\",\"content\":\" word\"},\"finish_reason\":\"stop\"}],"
                        "\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":1,\"total_tokens\":9}}";
    plain_len = (size_t)snprintf(plain_answer, sizeof plain_answer,
                                 "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                                 sizeof body - 1, body);
}

static void write_truth(void) {
    if (!opt.truth) return;
    FILE *f = fopen(opt.truth, "wb");
    if (!f) die(opt.truth);
    fwrite("IATRUTH1", 1, 8, f);
    for (size_t i = 0; i < request_count; i++) {
        Request *r = requests[i];
        if (!r->end) r->flags |= CUT;
        uint32_t words[4] = {r->port, r->flags, r->tokens, r->number};
        int64_t times[3] = {r->arrival, r->first, r->end};
        fwrite(times, sizeof times, 1, f);
        fwrite(words, sizeof words, 1, f);
        if (r->tokens) fwrite(r->token, sizeof *r->token, r->tokens, f);
    }
    if (fclose(f)) die(opt.truth);
}

static void on_signal(int sig) {
    (void)sig;
    stopping = 1;
}

static void serve(void) {
    struct epoll_event events[1024];
    while (!stopping) {
        int64_t t = now_ns(), wait = 100000000; /* a signal just before the wait is seen 100 ms later */
        if (heap_len && heap[0]->due - t - SPIN_NS < wait) wait = heap[0]->due - t - SPIN_NS;
        if (wait < 0) wait = 0;
        struct timespec ts = {wait / NS, wait % NS};
        int n = epoll_pwait2(epfd, events, 1024, &ts, NULL);
        if (n < 0 && errno != EINTR) die("epoll_pwait2");
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listen_fd) {
                accept_all();
                continue;
            }
            Conn *c = conns[fd];
            if (!c) continue;
            if (events[i].events & EPOLLOUT && !flush(c)) continue;
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
        }
        t = now_ns();
        if (opt.stall && !stalled && first_request && t - first_request >= opt.stall_at) {
            stalled = 1;
            struct timespec d = {opt.stall / NS, opt.stall % NS};
            nanosleep(&d, NULL);
            t = now_ns();
        }
        /* bounded: with every deadline late, new requests must still be read */
        for (int i = 0; i < 256 && heap_len && heap[0]->due <= t; i++) step(heap[0]);
    }
}

int main(int argc, char **argv) {
    static const struct option names[] = {
        {"mode", 1, 0, 'm'},       {"port", 1, 0, 'p'},        {"ttft-us", 1, 0, 't'},  {"itl-us", 1, 0, 'i'},
        {"tokens", 1, 0, 'n'},     {"slow-every", 1, 0, 'k'},  {"slow-factor", 1, 0, 'f'}, {"role", 1, 0, 'r'},
        {"usage", 1, 0, 'u'},      {"delay-us", 1, 0, 'd'},    {"stall-at-ms", 1, 0, 's'}, {"stall-ms", 1, 0, 'S'},
        {"truth", 1, 0, 'T'},      {"cpu", 1, 0, 'c'},         {"backlog", 1, 0, 'b'},  {0, 0, 0, 0}};
    for (int o; (o = getopt_long(argc, argv, "", names, NULL)) != -1;) switch (o) {
        case 'm':
            opt.plain = !strcmp(optarg, "plain");
            if (!opt.plain && strcmp(optarg, "stream")) {
                fprintf(stderr, "groundtruth: --mode is stream or plain\n");
                return 2;
            }
            break;
        case 'p': opt.port = atoi(optarg); break;
        case 't': opt.ttft = atoll(optarg) * 1000; break;
        case 'i': opt.itl = atoll(optarg) * 1000; break;
        case 'n': opt.tokens = atoi(optarg); break;
        case 'k': opt.slow_every = atoi(optarg); break;
        case 'f': opt.slow_factor = atof(optarg); break;
        case 'r': opt.role = atoi(optarg); break;
        case 'u': opt.usage = atoi(optarg); break;
        case 'd': opt.delay = atoll(optarg) * 1000; break;
        case 's': opt.stall_at = atoll(optarg) * 1000000; break;
        case 'S': opt.stall = atoll(optarg) * 1000000; break;
        case 'T': opt.truth = optarg; break;
        case 'c': opt.cpu = atoi(optarg); break;
        case 'b': opt.backlog = atoi(optarg); break;
        default: return 2;
        }
    if (opt.tokens < 1) {
        fprintf(stderr, "groundtruth: --tokens is at least 1\n");
        return 2;
    }
    prepare();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* never outlive the test that started us */
    prctl(PR_SET_TIMERSLACK, 1);
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (opt.cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(opt.cpu, &set);
        sched_setaffinity(0, sizeof set, &set);
    }
    int one = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listen_fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one); /* inherited, so that the first request has one */
    if (bind(listen_fd, (struct sockaddr *)&a, sizeof a) || listen(listen_fd, opt.backlog)) die("listen");
    getsockname(listen_fd, (struct sockaddr *)&a, &len);
    epfd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listen_fd};
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, listen_fd, &e)) die("epoll_ctl");
    struct timespec settle = {0, 50000000}; /* the kernel begins to stamp a moment after it was asked to */
    nanosleep(&settle, NULL);
    printf("%d\n", ntohs(a.sin_port)); /* the port, once it answers */
    fflush(stdout);
    serve();
    write_truth();
    return 0;
}
