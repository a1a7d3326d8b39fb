#include "version.h"
#include "app/app.h"

const char pp_app_revision[64] = "pipar-revision:" PP_GIT_REVISION;
