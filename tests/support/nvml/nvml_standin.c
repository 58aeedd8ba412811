/* A stand-in for libnvidia-ml.so.1, for tests on machines without a GPU.
 *
 * It lies below an unchanged Python binding and answers from a script: a text
 * file named by INFERAUDIT_NVML_SCRIPT, read at each first nvmlInit.
 *
 *     # a comment
 *     driver 550.54.15             before the first `gpu`: the system's values
 *     gpu                          begins a GPU; what follows is about it
 *     name NVIDIA H100 80GB HBM3
 *     utilization.gpu 10|95        one value a call; the last one stays
 *     return.nvmlDeviceGetEccMode 4      that function answers NVML_ERROR_NO_PERMISSION
 *     lost_after 12                from the 13th call on this GPU: NVML_ERROR_GPU_IS_LOST
 *     delay_ms.nvmlDeviceGetPowerUsage 5
 *     process compute 4242 1073741824
 *     mig                          begins a MIG device of the current GPU
 *
 * A value the script does not give is NVML_ERROR_NOT_SUPPORTED, as on hardware
 * that lacks the feature. Every call is appended to INFERAUDIT_NVML_CALLS, when
 * set, so that tests can prove what was asked. Built with -DOLD_DRIVER it
 * is as driver branch 470: newer symbols are missing, and process lists are
 * those of `_v2`.
 */
#include "nvml_standin.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define MAX_DEVICES 64
#define MAX_ENTRIES 512

struct entry { char key[96]; char value[256]; const char *next; };
struct device {
    struct device *parent; /* the GPU of a MIG device, else NULL */
    int count;
    long calls;
    struct entry entries[MAX_ENTRIES];
};

static struct device system_values, *devices[MAX_DEVICES];
static int device_count, initialised, next_event;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct device *add_device(struct device *parent)
{
    if (device_count == MAX_DEVICES) return devices[MAX_DEVICES - 1];
    struct device *d = calloc(1, sizeof *d);
    d->parent = parent;
    return devices[device_count++] = d;
}

static void forget(void)
{
    for (int i = 0; i < device_count; i++) free(devices[i]);
    memset(&system_values, 0, sizeof system_values);
    device_count = next_event = 0;
}

static void read_script(void)
{
    char line[512], *path = getenv("INFERAUDIT_NVML_SCRIPT");
    FILE *file = path ? fopen(path, "r") : NULL;
    struct device *current = &system_values, *gpu = NULL;
    forget();
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\r\n")] = 0;
        char *key = line + strspn(line, " \t");
        if (*key == 0 || *key == '#') continue;
        if (!strcmp(key, "gpu")) { current = gpu = add_device(NULL); continue; }
        if (!strcmp(key, "mig")) { current = add_device(gpu); continue; }
        char *value = key + strcspn(key, " \t");
        if (*value) { *value++ = 0; value += strspn(value, " \t"); }
        if (current->count == MAX_ENTRIES) continue;
        struct entry *e = &current->entries[current->count++];
        snprintf(e->key, sizeof e->key, "%s", key);
        snprintf(e->value, sizeof e->value, "%s", value);
        e->next = e->value;
    }
    if (file) fclose(file);
}

/* The value of a key, or NULL; a value of several parts moves on by one part a call. */
static const char *get(struct device *d, const char *key, char *out, size_t size)
{
    for (int i = d->count - 1; i >= 0; i--) {
        struct entry *e = &d->entries[i];
        if (strcmp(e->key, key)) continue;
        size_t length = strcspn(e->next, "|");
        snprintf(out, size, "%.*s", (int)length, e->next);
        if (e->next[length] == '|') e->next += length + 1;
        return out;
    }
    return NULL;
}

static nvmlReturn_t get_number(struct device *d, u64 *out, const char *format, ...)
{
    char key[96], text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(key, sizeof key, format, args);
    va_end(args);
    if (!get(d, key, text, sizeof text)) return NVML_ERROR_NOT_SUPPORTED;
    *out = strtoull(text, NULL, 0);
    return NVML_SUCCESS;
}

/* What every call does first: log, delay, lose the GPU, answer as the script says. */
static nvmlReturn_t enter(struct device *d, const char *function)
{
    u64 value;
    char *log = getenv("INFERAUDIT_NVML_CALLS");
    FILE *file = log ? fopen(log, "a") : NULL;
    if (file) { fprintf(file, "%s\n", function); fclose(file); }
    if (!d) return NVML_ERROR_INVALID_ARGUMENT;
    if (!get_number(d, &value, "delay_ms.%s", function)) usleep((useconds_t)value * 1000);
    d->calls++;
    if (!get_number(d, &value, "lost_after") && d->calls > (long)value) return NVML_ERROR_GPU_IS_LOST;
    if (!get_number(d, &value, "return.%s", function)) return (nvmlReturn_t)value;
    return NVML_SUCCESS;
}

#define ENTER(d) do { \
        if (!initialised) return NVML_ERROR_UNINITIALIZED; \
        nvmlReturn_t code_ = enter((d), __func__); \
        if (code_) return code_; \
    } while (0)

static nvmlReturn_t give_text(struct device *d, const char *key, char *out, unsigned size)
{
    char text[256];
    if (!get(d, key, text, sizeof text)) return NVML_ERROR_NOT_SUPPORTED;
    if (strlen(text) >= size) return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(out, text);
    return NVML_SUCCESS;
}

static nvmlReturn_t give_unsigned(struct device *d, const char *key, unsigned *out)
{
    u64 value = 0;
    nvmlReturn_t code = get_number(d, &value, "%s", key);
    if (!code) *out = (unsigned)value;
    return code;
}

#define DEVICE_TEXT(function, key) \
    EXPORT nvmlReturn_t function(struct device *d, char *out, unsigned size) { ENTER(d); return give_text(d, key, out, size); }
#define DEVICE_NUMBER(function, key) \
    EXPORT nvmlReturn_t function(struct device *d, unsigned *out) { ENTER(d); return give_unsigned(d, key, out); }
#define SYSTEM_TEXT(function, key) \
    EXPORT nvmlReturn_t function(char *out, unsigned size) { ENTER(&system_values); return give_text(&system_values, key, out, size); }

/* Start, stop, system */

EXPORT nvmlReturn_t nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    pthread_mutex_lock(&lock);
    if (!initialised) read_script();
    nvmlReturn_t code = enter(&system_values, __func__);
    if (!code) initialised++;
    pthread_mutex_unlock(&lock);
    return code;
}

EXPORT nvmlReturn_t nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

EXPORT nvmlReturn_t nvmlShutdown(void)
{
    ENTER(&system_values);
    pthread_mutex_lock(&lock);
    if (initialised) initialised--;
    pthread_mutex_unlock(&lock);
    return NVML_SUCCESS;
}

EXPORT const char *nvmlErrorString(nvmlReturn_t code) { return code ? "an error of the stand-in" : "Success"; }

SYSTEM_TEXT(nvmlSystemGetDriverVersion, "driver")
SYSTEM_TEXT(nvmlSystemGetNVMLVersion, "nvml")

EXPORT nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *out)
{
    ENTER(&system_values);
    return give_unsigned(&system_values, "cuda", (unsigned *)out);
}

EXPORT nvmlReturn_t nvmlSystemGetProcessName(unsigned pid, char *out, unsigned size)
{
    char key[40];
    ENTER(&system_values);
    snprintf(key, sizeof key, "process_name.%u", pid);
    nvmlReturn_t code = give_text(&system_values, key, out, size);
    return code == NVML_ERROR_NOT_SUPPORTED ? NVML_ERROR_NOT_FOUND : code;
}

/* Devices */

EXPORT nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *out)
{
    ENTER(&system_values);
    *out = 0;
    for (int i = 0; i < device_count; i++) *out += !devices[i]->parent;
    return NVML_SUCCESS;
}

static struct device *nth(struct device *parent, unsigned index)
{
    for (int i = 0; i < device_count; i++)
        if (devices[i]->parent == parent && index-- == 0) return devices[i];
    return NULL;
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, struct device **out)
{
    ENTER(&system_values);
    *out = nth(NULL, index);
    if (!*out) return NVML_ERROR_INVALID_ARGUMENT;
    return enter(*out, __func__);
}

DEVICE_TEXT(nvmlDeviceGetName, "name")
DEVICE_TEXT(nvmlDeviceGetUUID, "uuid")
DEVICE_TEXT(nvmlDeviceGetSerial, "serial")
DEVICE_TEXT(nvmlDeviceGetVbiosVersion, "vbios")
DEVICE_NUMBER(nvmlDeviceGetMinorNumber, "minor")

EXPORT nvmlReturn_t nvmlDeviceGetCudaComputeCapability(struct device *d, int *major, int *minor)
{
    ENTER(d);
    nvmlReturn_t code = give_unsigned(d, "compute_capability.major", (unsigned *)major);
    return code ? code : give_unsigned(d, "compute_capability.minor", (unsigned *)minor);
}

EXPORT nvmlReturn_t nvmlDeviceGetPciInfo_v3(struct device *d, nvmlPciInfo_t *out)
{
    ENTER(d);
    memset(out, 0, sizeof *out);
    return give_text(d, "pci.bus_id", out->busId, sizeof out->busId);
}

/* Memory, work, clocks, power, heat */

static nvmlReturn_t memory(struct device *d, nvmlMemory_v2_t *out)
{
    nvmlReturn_t code = get_number(d, &out->total, "memory.total");
    if (code) return code;
    if (get_number(d, &out->reserved, "memory.reserved")) out->reserved = 0;
    if (get_number(d, &out->used, "memory.used")) out->used = 0;
    out->free = out->total - out->reserved - out->used;
    return NVML_SUCCESS;
}

/* The first form counts what the driver reserves as used, as on hardware. */
EXPORT nvmlReturn_t nvmlDeviceGetMemoryInfo(struct device *d, nvmlMemory_t *out)
{
    nvmlMemory_v2_t all;
    ENTER(d);
    nvmlReturn_t code = memory(d, &all);
    if (!code) *out = (nvmlMemory_t){all.total, all.free, all.used + all.reserved};
    return code;
}

#ifndef OLD_DRIVER
EXPORT nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(struct device *d, nvmlMemory_v2_t *out)
{
    ENTER(d);
    if (out->version != VERSIONED(nvmlMemory_v2_t, 2)) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    return memory(d, out);
}
#endif

EXPORT nvmlReturn_t nvmlDeviceGetUtilizationRates(struct device *d, nvmlUtilization_t *out)
{
    ENTER(d);
    nvmlReturn_t code = give_unsigned(d, "utilization.gpu", &out->gpu);
    return code ? code : give_unsigned(d, "utilization.memory", &out->memory);
}

static const char *const CLOCKS[] = {"graphics", "sm", "mem", "video"};

static nvmlReturn_t clock_of(struct device *d, const char *kind, unsigned type, unsigned *out)
{
    char key[40];
    if (type > 3) return NVML_ERROR_INVALID_ARGUMENT;
    snprintf(key, sizeof key, "%s.%s", kind, CLOCKS[type]);
    return give_unsigned(d, key, out);
}

EXPORT nvmlReturn_t nvmlDeviceGetClockInfo(struct device *d, unsigned type, unsigned *out) { ENTER(d); return clock_of(d, "clock", type, out); }
EXPORT nvmlReturn_t nvmlDeviceGetMaxClockInfo(struct device *d, unsigned type, unsigned *out) { ENTER(d); return clock_of(d, "max_clock", type, out); }

DEVICE_NUMBER(nvmlDeviceGetPowerUsage, "power.usage_mw")
DEVICE_NUMBER(nvmlDeviceGetEnforcedPowerLimit, "power.limit_mw")
DEVICE_NUMBER(nvmlDeviceGetPowerManagementDefaultLimit, "power.default_limit_mw")
DEVICE_NUMBER(nvmlDeviceGetPerformanceState, "performance_state")

EXPORT nvmlReturn_t nvmlDeviceGetTemperature(struct device *d, unsigned sensor, unsigned *out)
{
    ENTER(d);
    return sensor ? NVML_ERROR_INVALID_ARGUMENT : give_unsigned(d, "temperature", out);
}

EXPORT nvmlReturn_t nvmlDeviceGetTemperatureThreshold(struct device *d, unsigned threshold, unsigned *out)
{
    char key[48];
    ENTER(d);
    snprintf(key, sizeof key, "temperature.threshold.%u", threshold);
    return give_unsigned(d, key, out);
}

#ifndef OLD_DRIVER
EXPORT nvmlReturn_t nvmlDeviceGetTemperatureV(struct device *d, nvmlTemperature_v1_t *out)
{
    ENTER(d);
    if (out->version != VERSIONED(nvmlTemperature_v1_t, 1)) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    return give_unsigned(d, "temperature", (unsigned *)&out->temperature);
}

EXPORT nvmlReturn_t nvmlDeviceGetMarginTemperature(struct device *d, nvmlMarginTemperature_v1_t *out)
{
    ENTER(d);
    if (out->version != VERSIONED(nvmlMarginTemperature_v1_t, 1)) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    return give_unsigned(d, "temperature.margin", (unsigned *)&out->marginTemperature);
}

EXPORT nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(struct device *d, u64 *out) { ENTER(d); return get_number(d, out, "clock_events"); }
#endif

EXPORT nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(struct device *d, u64 *out) { ENTER(d); return get_number(d, out, "clock_events"); }

/* Memory errors */

EXPORT nvmlReturn_t nvmlDeviceGetEccMode(struct device *d, unsigned *current, unsigned *pending)
{
    ENTER(d);
    nvmlReturn_t code = give_unsigned(d, "ecc.mode", current);
    if (!code && give_unsigned(d, "ecc.mode_pending", pending)) *pending = *current;
    return code;
}

EXPORT nvmlReturn_t nvmlDeviceGetTotalEccErrors(struct device *d, unsigned type, unsigned counter, u64 *out)
{
    ENTER(d);
    return get_number(d, out, "ecc.%s.%s", counter ? "aggregate" : "volatile", type ? "uncorrected" : "corrected");
}

EXPORT nvmlReturn_t nvmlDeviceGetRemappedRows(struct device *d, unsigned *correctable, unsigned *uncorrectable, unsigned *pending, unsigned *failure)
{
    ENTER(d);
    nvmlReturn_t code = give_unsigned(d, "remapped.correctable", correctable);
    if (!code) code = give_unsigned(d, "remapped.uncorrectable", uncorrectable);
    if (!code) code = give_unsigned(d, "remapped.pending", pending);
    return code ? code : give_unsigned(d, "remapped.failure", failure);
}

EXPORT nvmlReturn_t nvmlDeviceGetRetiredPages(struct device *d, unsigned cause, unsigned *count, u64 *addresses)
{
    u64 pages;
    ENTER(d);
    nvmlReturn_t code = get_number(d, &pages, "retired.%s", cause ? "double_bit" : "single_bit");
    if (code) return code;
    unsigned room = addresses ? *count : 0;
    *count = (unsigned)pages;
    if (room < pages) return NVML_ERROR_INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < pages; i++) addresses[i] = 0x1000ull * i;
    return NVML_SUCCESS;
}

DEVICE_NUMBER(nvmlDeviceGetRetiredPagesPendingStatus, "retired.pending")

/* Links */

DEVICE_NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, "pcie.gen")
DEVICE_NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, "pcie.max_gen")
DEVICE_NUMBER(nvmlDeviceGetCurrPcieLinkWidth, "pcie.width")
DEVICE_NUMBER(nvmlDeviceGetMaxPcieLinkWidth, "pcie.max_width")
DEVICE_NUMBER(nvmlDeviceGetPcieReplayCounter, "pcie.replays")

static nvmlReturn_t of_link(struct device *d, unsigned link, const char *what, unsigned *out)
{
    char key[48];
    snprintf(key, sizeof key, "nvlink.%u.%s", link, what);
    return give_unsigned(d, key, out);
}

EXPORT nvmlReturn_t nvmlDeviceGetNvLinkState(struct device *d, unsigned link, unsigned *out) { ENTER(d); return of_link(d, link, "state", out); }
EXPORT nvmlReturn_t nvmlDeviceGetNvLinkVersion(struct device *d, unsigned link, unsigned *out) { ENTER(d); return of_link(d, link, "version", out); }
EXPORT nvmlReturn_t nvmlDeviceGetNvLinkErrorCounter(struct device *d, unsigned link, unsigned counter, u64 *out)
{
    ENTER(d);
    return get_number(d, out, "nvlink.%u.error.%u", link, counter);
}

#ifndef OLD_DRIVER
static nvmlReturn_t fabric(struct device *d, nvmlGpuFabricInfo_v2_t *out)
{
    unsigned state = 0, status = 0;
    nvmlReturn_t code = give_unsigned(d, "fabric.state", &state);
    if (code) return code;
    if (give_unsigned(d, "fabric.status", &status)) status = 0;
    if (give_unsigned(d, "fabric.clique", &out->cliqueId)) out->cliqueId = 0;
    if (give_unsigned(d, "fabric.health", &out->healthMask)) out->healthMask = 0;
    out->state = (unsigned char)state;
    out->status = (nvmlReturn_t)status;
    memset(out->clusterUuid, 0, sizeof out->clusterUuid);
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetGpuFabricInfoV(struct device *d, nvmlGpuFabricInfo_v2_t *out)
{
    ENTER(d);
    if (out->version != VERSIONED(nvmlGpuFabricInfo_v2_t, 2)) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    return fabric(d, out);
}

EXPORT nvmlReturn_t nvmlDeviceGetGpuFabricInfo(struct device *d, nvmlGpuFabricInfo_t *out)
{
    nvmlGpuFabricInfo_v2_t all;
    ENTER(d);
    nvmlReturn_t code = fabric(d, &all);
    if (code) return code;
    memset(out, 0, sizeof *out);
    out->status = all.status;
    out->cliqueId = all.cliqueId;
    out->state = all.state;
    return NVML_SUCCESS;
}
#endif

/* Modes, MIG, processes */

DEVICE_NUMBER(nvmlDeviceGetComputeMode, "compute_mode")
DEVICE_NUMBER(nvmlDeviceGetPersistenceMode, "persistence_mode")

EXPORT nvmlReturn_t nvmlDeviceGetMigMode(struct device *d, unsigned *current, unsigned *pending)
{
    ENTER(d);
    nvmlReturn_t code = give_unsigned(d, "mig.mode", current);
    if (!code && give_unsigned(d, "mig.mode_pending", pending)) *pending = *current;
    return code;
}

EXPORT nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(struct device *d, unsigned *out)
{
    ENTER(d);
    for (*out = 0; nth(d, *out); ++*out) {}
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(struct device *d, unsigned index, struct device **out)
{
    ENTER(d);
    *out = nth(d, index);
    return *out ? enter(*out, __func__) : NVML_ERROR_NOT_FOUND;
}

DEVICE_NUMBER(nvmlDeviceGetGpuInstanceId, "mig.gpu_instance")
DEVICE_NUMBER(nvmlDeviceGetComputeInstanceId, "mig.compute_instance")

EXPORT nvmlReturn_t nvmlDeviceGetAttributes_v2(struct device *d, nvmlDeviceAttributes_t *out)
{
    ENTER(d);
    memset(out, 0, sizeof *out);
    nvmlReturn_t code = get_number(d, &out->memorySizeMB, "mig.memory_mib");
    if (!code) code = give_unsigned(d, "mig.multiprocessors", &out->multiprocessorCount);
    if (!code) code = give_unsigned(d, "mig.gpu_slices", &out->gpuInstanceSliceCount);
    return code ? code : give_unsigned(d, "mig.compute_slices", &out->computeInstanceSliceCount);
}

static nvmlReturn_t processes(struct device *d, const char *kind, unsigned *count, nvmlProcessInfo_t *out)
{
    unsigned room = out ? *count : 0, seen = 0;
    for (int i = 0; i < d->count; i++) {
        char its_kind[16], used[24] = "";
        unsigned pid = 0, instance = 0xFFFFFFFFu, compute = 0xFFFFFFFFu;
        if (strcmp(d->entries[i].key, "process")) continue;
        if (sscanf(d->entries[i].value, "%15s %u %23s %u %u", its_kind, &pid, used, &instance, &compute) < 3) continue;
        if (strcmp(its_kind, kind)) continue;
        /* `-` is memory that may not be seen: NVML_VALUE_NOT_AVAILABLE */
        if (seen < room) out[seen] = (nvmlProcessInfo_t){pid, *used == '-' ? ~0ull : strtoull(used, NULL, 0), instance, compute};
        seen++;
    }
    *count = seen;
    return seen > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

#define PROCESSES(function, kind) \
    EXPORT nvmlReturn_t function(struct device *d, unsigned *count, nvmlProcessInfo_t *out) { ENTER(d); return processes(d, kind, count, out); }
#ifdef OLD_DRIVER
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v2, "compute")
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v2, "graphics")
PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v2, "mps")
#else
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v3, "compute")
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v3, "graphics")
PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v3, "mps")
#endif

/* Field values: `field.<id> <number>`, or `field_return.<id> <code>` */

EXPORT nvmlReturn_t nvmlDeviceGetFieldValues(struct device *d, int count, nvmlFieldValue_t *values)
{
    ENTER(d);
    for (int i = 0; i < count; i++) {
        u64 value = 0;
        values[i].nvmlReturn = get_number(d, &value, "field.%u", values[i].fieldId);
        u64 refused;
        if (!get_number(d, &refused, "field_return.%u", values[i].fieldId)) values[i].nvmlReturn = (nvmlReturn_t)refused;
        values[i].valueType = 1; /* unsigned int */
        values[i].value.ullVal = 0;
        values[i].value.uiVal = (unsigned)value;
    }
    return NVML_SUCCESS;
}

/* Events: `event.<n> <xid> <gpu index>` before the first GPU */

EXPORT nvmlReturn_t nvmlEventSetCreate(void **out) { ENTER(&system_values); *out = &system_values; return NVML_SUCCESS; }
EXPORT nvmlReturn_t nvmlEventSetFree(void *set) { (void)set; ENTER(&system_values); return NVML_SUCCESS; }
EXPORT nvmlReturn_t nvmlDeviceGetSupportedEventTypes(struct device *d, u64 *out) { ENTER(d); return get_number(d, out, "event_types"); }
EXPORT nvmlReturn_t nvmlDeviceRegisterEvents(struct device *d, u64 types, void *set) { (void)types; (void)set; ENTER(d); return NVML_SUCCESS; }

EXPORT nvmlReturn_t nvmlEventSetWait_v2(void *set, nvmlEventData_t *out, unsigned timeout_ms)
{
    char key[32], text[256];
    unsigned xid, index;
    (void)set;
    ENTER(&system_values);
    snprintf(key, sizeof key, "event.%d", next_event);
    if (!get(&system_values, key, text, sizeof text) || sscanf(text, "%u %u", &xid, &index) != 2) {
        usleep(timeout_ms * 1000u);
        return NVML_ERROR_TIMEOUT;
    }
    next_event++;
    *out = (nvmlEventData_t){nth(NULL, index), 8, xid, 0xFFFFFFFFu, 0xFFFFFFFFu};
    return NVML_SUCCESS;
}

/* For the test that compares with the Python binding: "struct size member:offset …" a line. */

#define AT(type, member) " " #member ":%zu", offsetof(type, member)
EXPORT const char *standin_layout(void)
{
    static char text[4096];
    char *p = text, *end = text + sizeof text;
#define SAY(...) p += snprintf(p, (size_t)(end - p), __VA_ARGS__)
#define BEGIN(type) SAY("\n" #type " %zu", sizeof(type))
#define HAS(type, member) SAY(AT(type, member))
    p = text;
    BEGIN(nvmlMemory_t); HAS(nvmlMemory_t, total); HAS(nvmlMemory_t, free); HAS(nvmlMemory_t, used);
    BEGIN(nvmlMemory_v2_t); HAS(nvmlMemory_v2_t, version); HAS(nvmlMemory_v2_t, total); HAS(nvmlMemory_v2_t, reserved); HAS(nvmlMemory_v2_t, free); HAS(nvmlMemory_v2_t, used);
    BEGIN(nvmlUtilization_t); HAS(nvmlUtilization_t, gpu); HAS(nvmlUtilization_t, memory);
    BEGIN(nvmlTemperature_v1_t); HAS(nvmlTemperature_v1_t, version); HAS(nvmlTemperature_v1_t, sensorType); HAS(nvmlTemperature_v1_t, temperature);
    BEGIN(nvmlMarginTemperature_v1_t); HAS(nvmlMarginTemperature_v1_t, version); HAS(nvmlMarginTemperature_v1_t, marginTemperature);
    BEGIN(nvmlPciInfo_t); HAS(nvmlPciInfo_t, busIdLegacy); HAS(nvmlPciInfo_t, domain); HAS(nvmlPciInfo_t, bus); HAS(nvmlPciInfo_t, device); HAS(nvmlPciInfo_t, pciDeviceId); HAS(nvmlPciInfo_t, pciSubSystemId); HAS(nvmlPciInfo_t, busId);
    BEGIN(nvmlProcessInfo_t); HAS(nvmlProcessInfo_t, pid); HAS(nvmlProcessInfo_t, usedGpuMemory); HAS(nvmlProcessInfo_t, gpuInstanceId); HAS(nvmlProcessInfo_t, computeInstanceId);
    BEGIN(nvmlDeviceAttributes_t); HAS(nvmlDeviceAttributes_t, multiprocessorCount); HAS(nvmlDeviceAttributes_t, gpuInstanceSliceCount); HAS(nvmlDeviceAttributes_t, computeInstanceSliceCount); HAS(nvmlDeviceAttributes_t, memorySizeMB);
    BEGIN(nvmlGpuFabricInfo_t); HAS(nvmlGpuFabricInfo_t, clusterUuid); HAS(nvmlGpuFabricInfo_t, status); HAS(nvmlGpuFabricInfo_t, cliqueId); HAS(nvmlGpuFabricInfo_t, state);
    BEGIN(nvmlGpuFabricInfo_v2_t); HAS(nvmlGpuFabricInfo_v2_t, version); HAS(nvmlGpuFabricInfo_v2_t, clusterUuid); HAS(nvmlGpuFabricInfo_v2_t, status); HAS(nvmlGpuFabricInfo_v2_t, cliqueId); HAS(nvmlGpuFabricInfo_v2_t, state); HAS(nvmlGpuFabricInfo_v2_t, healthMask);
    BEGIN(nvmlFieldValue_t); HAS(nvmlFieldValue_t, fieldId); HAS(nvmlFieldValue_t, scopeId); HAS(nvmlFieldValue_t, timestamp); HAS(nvmlFieldValue_t, latencyUsec); HAS(nvmlFieldValue_t, valueType); HAS(nvmlFieldValue_t, nvmlReturn); HAS(nvmlFieldValue_t, value);
    BEGIN(nvmlEventData_t); HAS(nvmlEventData_t, device); HAS(nvmlEventData_t, eventType); HAS(nvmlEventData_t, eventData); HAS(nvmlEventData_t, gpuInstanceId); HAS(nvmlEventData_t, computeInstanceId);
    SAY("\nversion nvmlMemory_v2 %u", VERSIONED(nvmlMemory_v2_t, 2));
    SAY("\nversion nvmlTemperature_v1 %u", VERSIONED(nvmlTemperature_v1_t, 1));
    SAY("\nversion nvmlMarginTemperature_v1 %u", VERSIONED(nvmlMarginTemperature_v1_t, 1));
    SAY("\nversion nvmlGpuFabricInfo_v2 %u\n", VERSIONED(nvmlGpuFabricInfo_v2_t, 2));
    return text;
}
